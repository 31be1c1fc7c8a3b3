"""The tables, typed. Times are seconds since the epoch (UTC); every tenant table carries account_id in its key."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, false, text
from sqlalchemy.orm import Mapped, mapped_column

from postmeter.store.base import MESSAGE_ID, Base, only

# The states of a recipient (queued → leased → (deferred ⇄ leased) → one of FINAL; held waits for a person).
QUEUED, LEASED, DEFERRED, HELD = "queued", "leased", "deferred", "held"
DELIVERED, BOUNCED, EXPIRED, SUPPRESSED, CANCELLED = "delivered", "bounced", "expired", "suppressed", "cancelled"
FINAL = (DELIVERED, BOUNCED, EXPIRED, SUPPRESSED, CANCELLED)
WAITING = f"state IN ('{QUEUED}', '{DEFERRED}')"  # in nobody's hands; SQLite uses an index for these very words only
# Conditions of indexes for people's searches, which say them word for word. Two hold for every row: they keep
# PostgreSQL, as long as it knows little about a table, from taking such an index for what the relay does all the time.
ADDRESSED, NAMED, REFERRED = "forward_path <> ''", "message_id <> ''", "reference <> ''"
TROUBLES = (DEFERRED, HELD, BOUNCED, EXPIRED, SUPPRESSED, CANCELLED)
TROUBLE = "state IN ('" + "', '".join(TROUBLES) + "')"
# An entry somewhere in an index costs SQLite a page in the commit, one at its end next to nothing. So SQLite has none
# of the first kind for Message-IDs and addresses, and reads indexes "in order" from end to end: 50 ms for a million.
NEVER = "message_id IS NULL"
_BY_ADDRESS = ("account_id", text("lower(forward_path)"), "message_id")


class User(Base):
    """A person who logs in to the panel; ``epoch`` is part of every session and raised to end them all.

    ``totp`` is the sealed secret of the second factor (None: there is none), and ``totp_step`` the time step of the
    last code that was used (RFC 6238, 5.2). ``language`` and ``timezone`` empty: as the browser and the settings say.
    """

    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    password: Mapped[str]  # argon2id
    operator: Mapped[bool] = mapped_column(default=False)
    epoch: Mapped[int] = mapped_column(default=0)
    totp: Mapped[bytes | None]
    totp_step: Mapped[int] = mapped_column(default=0)
    language: Mapped[str] = mapped_column(default="")
    timezone: Mapped[str] = mapped_column(default="")
    created_at: Mapped[float]
    seen_at: Mapped[float | None]  # when the user last used the panel, to a minute


class Account(Base):
    """A customer. ``agreement``: may overdraw and is invoiced.

    ``overdraft`` counts the units taken beyond all blocks, ``invoiced`` those of them that are on an invoice. The row
    is locked by whoever takes, books or ends units of the account (not by who charges or releases them in blocks).
    """

    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    agreement: Mapped[bool] = mapped_column(default=False)
    blocked: Mapped[str] = mapped_column(default="")  # why nothing may be sent; empty: not blocked
    threshold: Mapped[int] = mapped_column(default=0)  # low-quota notice when fewer mails are left
    overdraft: Mapped[int] = mapped_column(default=0)
    invoiced: Mapped[int] = mapped_column(default=0)
    overdraft_policy: Mapped[str] = mapped_column(default="")  # empty: as the setting says
    overdraft_cap: Mapped[int | None]  # units not invoiced yet; 0: no cap, None: as the setting says
    paid_since: Mapped[float | None]  # when the first paid block was booked: no hourly limit since
    low_armed: Mapped[bool] = mapped_column(default=False)  # which notices would be given: ``quota.level``
    empty_armed: Mapped[bool] = mapped_column(default=False)
    overdraft_armed: Mapped[bool] = mapped_column(default=True)
    pool: Mapped[str] = mapped_column(default="")  # of source addresses; empty: as its standing says
    created_at: Mapped[float]


class Membership(Base):
    """What a user is in an account: owner, admin, billing or viewer."""

    __tablename__ = "membership"
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), primary_key=True)
    role: Mapped[str]
    created_at: Mapped[float | None]  # None: before this was noted


class SigningKey(Base):
    """A DKIM key; account_id None is the operator's own. ``private_key`` is encrypted by ``store/secrets``.

    A new one waits for its record (``active`` False, neither date set), signs from ``activated_at`` and is replaced
    by its successor at ``retired_at``; its record has to stay while mail that it signed is under way.
    """

    __tablename__ = "signing_key"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"), index=True)
    domain: Mapped[str]
    selector: Mapped[str]
    algorithm: Mapped[str]  # rsa-sha256 or ed25519-sha256
    private_key: Mapped[bytes]
    dns_value: Mapped[str]  # the TXT record to publish
    active: Mapped[bool] = mapped_column(default=True)
    activated_at: Mapped[float | None]
    retired_at: Mapped[float | None]
    created_at: Mapped[float]
    __table_args__ = (Index("uq_signing_key_domain_selector", "domain", "selector", unique=True),)


class SendingDomain(Base):
    """A From domain of an account; mail is taken for it and the names below it once ``verified_at`` is set.

    Looks at the DNS that failed are counted in a row (``failures`` since ``failing_since``), whoever took them.
    """

    __tablename__ = "sending_domain"
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    list_help: Mapped[str]  # the field value: <https://…> or <mailto:…>
    trusted: Mapped[bool] = mapped_column(default=False)  # verified on the operator's word
    verified_at: Mapped[float | None]
    problem: Mapped[str] = mapped_column(default="")  # what the last look at the DNS found missing
    checked_at: Mapped[float | None]  # when that was
    next_check_at: Mapped[float | None]  # when the relay looks again; None: never (trusted, or not verified yet)
    failing_since: Mapped[float | None]
    failures: Mapped[int] = mapped_column(default=0)
    warned_at: Mapped[float | None]
    return_path: Mapped[str] = mapped_column(default="")  # the domain bounces come back to; empty: the relay's own
    return_path_verified_at: Mapped[float | None]  # None: its records were not found (any more)
    return_path_failing_since: Mapped[float | None]
    created_at: Mapped[float]
    __table_args__ = (
        Index("ix_sending_domain_next_check_at", "next_check_at", **only("next_check_at IS NOT NULL")),
        Index("ix_sending_domain_return_path", "return_path", **only("return_path <> ''")),
    )


class Connection(Base):
    """A customer's named access. ``username`` and the keyed hash of the secret; ``paused`` says why it is off.

    Nobody knows the secret before ``revealed_at``. One that was renewed is ``previous_secret`` and still good until
    ``previous_until``. One that was given up at ``retired_at`` is shown no more, but its messages are.
    """

    __tablename__ = "connection"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    name: Mapped[str]
    username: Mapped[str] = mapped_column(unique=True)
    secret: Mapped[bytes]
    previous_secret: Mapped[bytes | None]
    previous_until: Mapped[float | None]
    previous_used_at: Mapped[float | None]
    revealed_at: Mapped[float | None]
    system: Mapped[str] = mapped_column(default="")  # what connects: a shop system that the panel knows
    retired_at: Mapped[float | None]
    paused: Mapped[str] = mapped_column(default="")
    stopped: Mapped[bool] = mapped_column(default=False)  # paused by the guard: what waits does not leave either
    last_used_at: Mapped[float | None]
    per_hour: Mapped[int] = mapped_column(default=0)  # recipients at most in a clock hour (UTC); 0: no cap
    per_day: Mapped[int] = mapped_column(default=0)
    per_month: Mapped[int] = mapped_column(default=0)
    priority: Mapped[int] = mapped_column(default=1)  # of its messages: 0 urgent, 1 normal, 2 bulk
    lifetime: Mapped[int] = mapped_column(default=0)  # seconds until they expire; 0: as the setting says
    tls_required: Mapped[bool] = mapped_column(default=False)  # they never leave in clear
    pool: Mapped[str] = mapped_column(default="")  # of source addresses; empty: its account's
    guarded_since: Mapped[float | None]  # from when on its bounces and complaints count, if it was ever resumed
    created_at: Mapped[float]
    __table_args__ = (
        Index(
            "uq_connection_account_id_name",
            "account_id",
            "name",
            unique=True,
            sqlite_where=text("retired_at IS NULL"),
            postgresql_where=text("retired_at IS NULL"),
        ),
        Index("ix_connection_stopped", "id", **only("stopped")),
    )


class ConnectionDomain(Base):
    """Which sending domains a connection may use."""

    __tablename__ = "connection_domain"
    account_id: Mapped[int] = mapped_column(primary_key=True)
    connection_id: Mapped[int] = mapped_column(ForeignKey("connection.id"), primary_key=True)
    domain: Mapped[str] = mapped_column(primary_key=True)


class Message(Base):
    """An accepted message without its content. ``envelope`` parameters as in RFC 3461 and 6531.

    ``priority`` 0 is urgent, 1 normal, 2 bulk; ``lifetime`` in seconds (0: as the setting says); with
    ``tls_required`` it never leaves in clear.
    """

    __tablename__ = "message"
    id: Mapped[str] = mapped_column(MESSAGE_ID, primary_key=True)
    account_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    connection_id: Mapped[int]
    accepted_at: Mapped[float]
    domain: Mapped[str]  # the sending domain that allowed it
    reverse_path: Mapped[str]
    body: Mapped[str]
    smtputf8: Mapped[bool]
    ret: Mapped[str]
    envid: Mapped[str]
    header_from: Mapped[str]
    subject: Mapped[str]
    message_id: Mapped[str]
    size: Mapped[int]
    sha256: Mapped[bytes]  # of the content as stored
    reference: Mapped[str] = mapped_column(default="")  # what the sender calls its subject matter: order:1234
    priority: Mapped[int] = mapped_column(default=1)
    lifetime: Mapped[int] = mapped_column(default=0)
    tls_required: Mapped[bool] = mapped_column(default=False)
    __table_args__ = (
        Index("ix_message_in_order", "account_id", "id", "message_id", postgresql_where=text(NEVER)),
        Index("ix_message_account_id_id", "account_id", "id", sqlite_where=text(NEVER)),
        Index("ix_message_account_id_message_id", "account_id", "message_id", "id", **only(NAMED, sqlite=NEVER)),
        Index("ix_message_account_id_reference", "account_id", "reference", "id", **only(REFERRED)),
        {"sqlite_with_rowid": False},
    )


class Content(Base):
    """The content of a message in chunks; gone once every recipient is in a final state."""

    __tablename__ = "content"
    message_id: Mapped[str] = mapped_column(MESSAGE_ID, primary_key=True)
    account_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    n: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    data: Mapped[bytes]


class Recipient(Base):
    """One forward path of a message: the unit of queueing, leasing and charging.

    ``leaves_at``: when it may first leave, at its acceptance or in its slot of the hourly limit; its lifetime counts
    from there. ``block_id`` is the block that pays (None: overdraft); ``charge`` is reserved, charged, released or,
    for the relay's own mail, free.
    ``in_doubt`` counts attempts that may have arrived though no answer came back. ``priority`` is the message's.
    ``warn_at``: when its sender is told that it is late, if it still waits then (infinite: all is told). ``route``
    (``host:port``) is where an operator wants it sent instead of where the DNS says; ``failure`` the class of the
    last refusal. ``shared``: it was tried in one transaction with others, so its return path names none of them,
    and stays so.
    """

    __tablename__ = "recipient"
    message_id: Mapped[str] = mapped_column(MESSAGE_ID, primary_key=True)
    account_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    n: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    connection_id: Mapped[int]
    forward_path: Mapped[str]
    notify: Mapped[str]
    orcpt: Mapped[str]
    state: Mapped[str]
    leaves_at: Mapped[float]
    next_attempt_at: Mapped[float]
    lease_owner: Mapped[int | None]
    attempts: Mapped[int] = mapped_column(default=0)
    in_doubt: Mapped[int] = mapped_column(default=0)
    final_at: Mapped[float | None]
    reply: Mapped[str] = mapped_column(default="")  # the last answer of the remote side
    block_id: Mapped[int | None]
    charge: Mapped[str]
    unknown_since: Mapped[float | None]  # since when the domain is not found in the DNS
    provider: Mapped[str] = mapped_column(default="")  # who receives its mail, as far as attempts have found out
    priority: Mapped[int] = mapped_column(default=1)
    warn_at: Mapped[float | None]
    route: Mapped[str] = mapped_column(server_default="")
    failure: Mapped[str] = mapped_column(server_default="")
    complained_at: Mapped[float | None]
    failing_since: Mapped[float | None]  # when it first failed for what is borne for a time only: a full mailbox
    shared: Mapped[bool] = mapped_column(server_default=false())
    __table_args__ = (
        Index("ix_recipient_due", "next_attempt_at", **only(WAITING)),
        Index("ix_recipient_turn", "priority", "account_id", "provider", "next_attempt_at", **only(WAITING)),
        Index("ix_recipient_held", "next_attempt_at", **only("state = 'held'")),
        Index("ix_recipient_lease_owner", "lease_owner", **only("lease_owner IS NOT NULL")),
        Index("ix_recipient_in_order", "account_id", "message_id", "forward_path", postgresql_where=text(NEVER)),
        Index("ix_recipient_address", *_BY_ADDRESS, **only(ADDRESSED, sqlite=NEVER)),
        Index("ix_recipient_trouble", "account_id", "message_id", "state", **only(TROUBLE)),
        Index("ix_recipient_warn_at", "warn_at", **only("warn_at IS NOT NULL AND state IN ('queued', 'deferred')")),
        Index("ix_recipient_failed", "account_id", "final_at", **only("state IN ('bounced', 'expired')")),
        {"sqlite_with_rowid": False},
    )


class Counter(Base):
    """Statistics by time, connection, sending domain and receiving provider.

    ``deferred`` goes up and down, ``delivered`` down as well when a bounce comes late, the rest only up. A ``bucket``
    is a quarter of an hour by its start (seconds, a multiple of 900); older ones have become hours and days
    (``rollup``). ``provider`` is empty for what no attempt was made for (so all that arrived) and for what was tried
    at nobody's mail server.
    """

    __tablename__ = "counter"
    account_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    bucket: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    connection_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    domain: Mapped[str] = mapped_column(primary_key=True)
    provider: Mapped[str] = mapped_column(primary_key=True)
    arrived: Mapped[int] = mapped_column(default=0)
    delivered: Mapped[int] = mapped_column(default=0)
    bounced: Mapped[int] = mapped_column(default=0)
    deferred: Mapped[int] = mapped_column(default=0)
    suppressed: Mapped[int] = mapped_column(default=0)
    cancelled: Mapped[int] = mapped_column(default=0)
    complained: Mapped[int] = mapped_column(default=0)
    __table_args__ = (
        Index("ix_counter_bucket", "bucket"),
        Index("ix_counter_arrived", "account_id", "connection_id", "bucket", **only("provider = ''")),  # for the caps
        {"sqlite_with_rowid": False},
    )


class Event(Base):
    """A committed fact; the source of hooks and of a message's timeline, written in the commit of the fact.

    ``tx`` is PostgreSQL's transaction number: readers stop before the oldest one still open, so that none that
    commits late is skipped. SQLite has one writer at a time and needs none.
    """

    __tablename__ = "event"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int]
    kind: Mapped[str]  # accepted, delivered, bounced, deferred, expired, quota_low, …
    message_id: Mapped[str | None] = mapped_column(MESSAGE_ID, index=True)
    recipient: Mapped[int | None]  # Recipient.n
    at: Mapped[float]
    facts: Mapped[dict[str, Any]]
    tx: Mapped[int | None]
    __table_args__ = (Index("ix_event_tx_id", "tx", "id", sqlite_where=text("tx IS NOT NULL")),)  # empty on SQLite


class Followed(Base):
    """A connection whose messages a plugin is asked about and told of, if it is one that chooses (by_connection)."""

    __tablename__ = "followed"
    connection_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    plugin: Mapped[str] = mapped_column(primary_key=True)
