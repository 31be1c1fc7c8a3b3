"""Compares what the clients were promised, what the recipients' side got and what the database says."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.mail_sink import Received
from support.transit import Parts, without_signatures

FINAL = ("delivered", "bounced", "expired", "suppressed", "cancelled")
ENDS = ("delivered", "bounced", "suppressed", "cancelled")  # in the statistics
LIFETIME = 4 * 86_400 + 3600  # seconds
MARK = b"X-Load"  # the field by which a mail is known again
OPERATOR = 0  # whose the relay's own mail is: notifications to the senders


@dataclass(frozen=True)
class Promised:
    """A 250: under which id, for which mail (the value of MARK) and recipients."""

    id: str
    mark: str
    recipients: tuple[str, ...]


@dataclass
class Books:
    """Everything the database says at one moment of the customers' mail, and which recipients it has notified of."""

    messages: dict[str, Any] = field(default_factory=dict)
    recipients: list[Any] = field(default_factory=list)
    content: dict[str, bytes] = field(default_factory=dict)
    blocks: list[Any] = field(default_factory=list)
    accounts: list[Any] = field(default_factory=list)
    ledger: list[Any] = field(default_factory=list)
    counters: list[Any] = field(default_factory=list)
    ends: Counter[tuple[str, int]] = field(default_factory=Counter)
    told: Counter[tuple[str, int]] = field(default_factory=Counter)
    own: dict[str, Any] = field(default_factory=dict)  # the recipients of notifications, by message

    @classmethod
    def read(cls, database: Path) -> Books:
        """Read all in one transaction; the relay may run."""
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN")
            rows = connection.execute
            content: dict[str, bytes] = defaultdict(bytes)
            for row in rows("SELECT message_id, data FROM content WHERE account_id <> 0 ORDER BY message_id, n"):
                content[row["message_id"]] += row["data"]
            marks = ", ".join("?" * len(FINAL))
            ends = rows(
                f"SELECT message_id, recipient FROM event WHERE kind IN ({marks}) AND account_id <> 0", FINAL
            ).fetchall()
            told = rows("SELECT * FROM event WHERE kind = 'notification_sent'").fetchall()
            recipients = rows("SELECT * FROM recipient").fetchall()
            return cls(
                {row["id"]: row for row in rows("SELECT * FROM message WHERE account_id <> 0")},
                [row for row in recipients if row["account_id"] != OPERATOR],
                content,
                rows("SELECT * FROM block").fetchall(),
                rows("SELECT * FROM account").fetchall(),
                rows("SELECT * FROM ledger").fetchall(),
                rows("SELECT * FROM counter WHERE account_id <> 0").fetchall(),
                Counter((row["message_id"], row["recipient"]) for row in ends),
                Counter((row["message_id"], n) for row in told for n in _concerned(row)),
                {row["message_id"]: row for row in recipients if row["account_id"] == OPERATOR},
            )

    @property
    def states(self) -> Counter[str]:
        """How many recipients are in each state."""
        return Counter(row["state"] for row in self.recipients)

    @property
    def waiting(self) -> int:
        """How many recipients have no final state."""
        return sum(row["state"] not in FINAL for row in self.recipients)


def _concerned(notification: sqlite3.Row) -> list[int]:
    """The recipients that a notification tells of."""
    numbers: list[int] = json.loads(notification["facts"]).get("recipients", [notification["recipient"]])
    return numbers


def mark_of(content: bytes) -> str:
    """The mark of a mail."""
    return next(iter(Parts.of(content).named(MARK.lower())), b"").partition(b":")[2].strip().decode()


def faults(promised: list[Promised], received: list[Received], books: Books, now: float) -> list[str]:
    """What is wrong, in sentences; nothing when every promise is kept and all sums agree."""
    return [
        *_kept(promised, books),
        *_states(books, now),
        *_copies([one for one in received if mark_of(one.content)], books),
        *_notifications(books),
        *_units(books),
        *_counters(books),
    ]


def _kept(promised: list[Promised], books: Books) -> Iterator[str]:
    """Every 250 has its message, one row per recipient, and its content as long as it is needed."""
    paths = defaultdict(list)
    for row in books.recipients:
        paths[row["message_id"]].append(row["forward_path"])
    for one in promised:
        if one.id not in books.messages:
            yield f"{one.id} was answered 250 and is not there"
        elif sorted(paths[one.id]) != sorted(one.recipients):
            yield f"{one.id} has the recipients {paths[one.id]}, not {one.recipients}"
    waiting = {row["message_id"] for row in books.recipients if row["state"] not in FINAL}
    for message in waiting:
        if hashlib.sha256(books.content.get(message, b"")).digest() != books.messages[message]["sha256"]:
            yield f"the content of {message} is not what was accepted"
    yield from (f"the content of {message} is kept for nobody" for message in set(books.content) - waiting)


def _states(books: Books, now: float) -> Iterator[str]:
    """One final state each, and none that waits for ever."""
    for row in books.recipients:
        name = f"{row['message_id']}/{row['n']}"
        final = row["state"] in FINAL
        if books.ends[row["message_id"], row["n"]] != int(final):
            yield f"{name} is {row['state']} and has {books.ends[row['message_id'], row['n']]} final events"
        if final != (row["final_at"] is not None) or (final and row["lease_owner"] is not None):
            yield f"{name} is {row['state']}, final at {row['final_at']}, owned by {row['lease_owner']}"
        if not final and now - row["leaves_at"] > LIFETIME:
            yield f"{name} waits too long"


def _copies(received: list[Received], books: Books) -> Iterator[str]:
    """At least one copy of what is delivered, never more than the doubts allow, all with the octets accepted."""
    copies: dict[tuple[str, str], list[bytes]] = defaultdict(list)
    for mail in received:
        for recipient in mail.recipients:
            copies[mark_of(mail.content), recipient].append(mail.content)
    known = {row["forward_path"]: row for row in books.recipients}
    if len(known) != len(books.recipients):
        yield "the test uses an address twice"
    for (mark, recipient), contents in copies.items():
        if recipient not in known:
            yield f"{mark} was delivered to {recipient}, who is not in the database"
            continue
        row = known.pop(recipient)
        if len(contents) > 1 + row["in_doubt"]:
            yield f"{recipient} has {len(contents)} copies with {row['in_doubt']} attempts in doubt"
        if len(set(contents)) > 1:
            yield f"{recipient} has copies that differ"
        if hashlib.sha256(without_signatures(contents[0])).digest() != books.messages[row["message_id"]]["sha256"]:
            yield f"{recipient} has octets that were not accepted"
    yield from (f"{path} counts as delivered and is not" for path, row in known.items() if row["state"] == "delivered")


def _notifications(books: Books) -> Iterator[str]:
    """Who sent what has failed is told of each such recipient once, for nobody's money, and of nothing else."""
    failed = Counter(
        (row["message_id"], row["n"]) for row in books.recipients if row["state"] in ("bounced", "expired")
    )
    if books.told != failed:
        yield f"notified of {books.told - failed} too often, of {failed - books.told} too seldom"
    yield from (f"a notification is paid: {one}" for one, row in books.own.items() if row["charge"] != "free")


def _units(books: Books) -> Iterator[str]:
    """Each recipient is paid for once: by its block or by the overdraft, and the sums of the ledger say the same."""
    charges = Counter((row["block_id"], row["charge"]) for row in books.recipients)
    if {charge for _, charge in charges} - {"reserved", "charged", "released"}:
        yield f"there are unknown charges: {charges}"
    moved: Counter[tuple[int | None, str]] = Counter()
    for row in books.ledger:
        moved[row["block_id"], row["kind"]] += row["units"]
    for block in books.blocks:
        number = block["id"]
        reserved, charged = charges[number, "reserved"], charges[number, "charged"]
        left = block["size"] - reserved - charged + moved[number, "expire"]
        if (block["left"], block["reserved"], block["charged"]) != (left, reserved, charged):
            found = block["left"], block["reserved"], block["charged"]
            yield f"block {number} has {found}, not {left, reserved, charged}"
        if block["due_at"] is None and left:
            yield f"block {number} has ended and has {left} left"
        yield from _moves(moved, charges, number, block["size"])
    yield from _moves(moved, charges, None, 0)
    overdraft = charges[None, "reserved"] + charges[None, "charged"]
    if sum(row["overdraft"] for row in books.accounts) != overdraft:
        yield f"the overdraft is not {overdraft}"


def _moves(moved: Counter[Any], charges: Counter[Any], number: int | None, size: int) -> Iterator[str]:
    charged, released = charges[number, "charged"], charges[number, "released"]
    taken = charges[number, "reserved"] + charged + released
    if number is None:
        expected = {"overdraft": released - taken, "charge": charged}
        entries = {kind: moved[number, kind] for kind in expected}
    else:
        expected = {"booked": size, "reserve": -taken, "charge": charged, "release": released}
        booked = moved[number, "book"] + moved[number, "renew"]
        entries = {"booked": booked} | {kind: moved[number, kind] for kind in ("reserve", "charge", "release")}
    if entries != expected:
        yield f"the ledger of block {number} says {entries}, not {expected}"


def _counters(books: Books) -> Iterator[str]:
    """The statistics are the states."""
    expected = totals(books)
    counted = {name: sum(row[name] for row in books.counters) for name in expected if name != "queued"}
    counted["queued"] = counted["arrived"] - sum(counted[name] for name in ENDS)
    if counted != expected:
        yield f"the counters say {counted}, the states {expected}"


def totals(books: Books) -> dict[str, int]:
    """What the commands must answer, from the states of the recipients."""
    states = books.states
    return {
        "arrived": len(books.recipients),
        "delivered": states["delivered"],
        "bounced": states["bounced"] + states["expired"],
        "queued": books.waiting,
        "deferred": sum(row["state"] not in FINAL and row["attempts"] > 0 for row in books.recipients),
        "suppressed": states["suppressed"],
        "cancelled": states["cancelled"],
    }
