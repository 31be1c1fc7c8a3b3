"""Suppressions: addresses that are not to be tried for an account, or for any account on the operator's word."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

import dns.exception
import dns.name
from sqlalchemy import ColumnElement, bindparam, delete, exists, or_, select, text, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from postmeter.errors import UsageError
from postmeter.smtp.address import parse_forward_path
from postmeter.smtp.reply import Refused
from postmeter.store import events, recipient_tables
from postmeter.store.base import table
from postmeter.store.rows import delete_some
from postmeter.store.statement import Statement

EVERY_ACCOUNT = 0  # the number that the operator's own have instead of an account's
BOUNCE, COMPLAINT, MANUAL = "bounce", "complaint", "manual"
MAX_DETAIL = 500  # characters

_DOT_STRING = re.compile(r'[^ "(),:;<>@\[\\\].]+(?:\.[^ "(),:;<>@\[\\\].]+)*+')  # RFC 5321, 4.1.2
COLUMNS = ("account_id", "address", "reason", "detail", "message_id", "created_at", "expires_at")
_UPSERT = (
    f"INSERT INTO suppression ({', '.join(COLUMNS)}) "  # noqa: S608 - own names
    f"VALUES ({', '.join(f':{name}' for name in COLUMNS)}) ON CONFLICT (account_id, address) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[2:])
)
_SUPPRESS = Statement(text(_UPSERT))
_SUPPRESS_NEW = Statement(text(f"{_UPSERT} WHERE suppression.expires_at <= excluded.created_at"))
_row = recipient_tables.Suppression
IN_FORCE = or_(_row.expires_at.is_(None), _row.expires_at > bindparam("now"))
_SELECT = select(*(table(_row).columns[name] for name in COLUMNS))
_FIND = Statement(
    _SELECT.where(
        _row.account_id.in_((EVERY_ACCOUNT, bindparam("account"))), _row.address == bindparam("address"), IN_FORCE
    ).order_by(_row.account_id)  # the operator's first: an account cannot lift it
)
_LIST = _SELECT.where(_row.account_id == bindparam("account"), IN_FORCE).order_by(_row.address)


@dataclass(frozen=True, slots=True)
class Suppression:
    """An address that is not to be tried, and why; times in seconds since the epoch.

    ``reason`` is bounce, complaint or manual, ``detail`` the server's answer or a person's words, ``message_id`` the
    message that led to it; ``expires_at`` None: until it is lifted.
    """

    account_id: int
    address: str
    reason: str
    detail: str
    message_id: str | None
    created_at: float
    expires_at: float | None


def suppress(
    session: Session,
    account_id: int,
    address: str,
    reason: str,
    now: float,
    *,
    detail: str = "",
    message_id: str | None = None,
    expires_at: float | None = None,
) -> Suppression:
    """Keep the account's mail (``EVERY_ACCOUNT``: that of all) from an address, whatever was said about it before.

    UsageError when it is no address.
    """
    made = Suppression(account_id, clean_address(address), reason, clean_detail(detail), message_id, now, expires_at)
    suppress_all(session, [made])
    return made


def suppress_all(session: Session, made: Sequence[Suppression]) -> None:
    """The same for many, whose addresses and details are clean; of one address the last counts.

    They are written in the order of their keys, as everybody does, so that nobody deadlocks.
    """
    _write(session, made)
    events.record(session, [_event(one) for one in made])


def take_in(session: Session, made: Sequence[Suppression], now: float) -> None:
    """The same for what a list has, since whenever and for whatever message: that it is suppressed is news of now."""
    _write(session, made)
    events.record(session, [_event(replace(one, message_id=None, created_at=now)) for one in made])


def suppress_new(session: Session, made: Sequence[Suppression]) -> int:
    """The same for those that are not suppressed yet or no longer; how many these were."""
    new = [one for one in made if _SUPPRESS_NEW.run(session, [dict(zip(COLUMNS, astuple(one), strict=True))]) == 1]
    if new:
        events.record(session, [_event(one) for one in new])
    return len(new)


def lift(session: Session, account_id: int, address: str) -> bool:
    """Let an address be tried again; False when the account has not suppressed it."""
    this = (_row.account_id == account_id, _row.address == clean_address(address))
    return session.connection().execute(delete(table(_row)).where(*this)).rowcount == 1


def find(session: Session, account_id: int, address: str, now: float) -> Suppression | None:
    """What keeps the account's mail from a forward path at present, the operator's word first."""
    rows = _FIND.fetch(session, {"account": account_id, "address": comparable(address), "now": now})
    return Suppression(*rows[0]) if rows else None


def suppressions_of(session: Session, account_id: int, now: float) -> list[Suppression]:
    """The suppressions of an account that are in force (``EVERY_ACCOUNT``: the operator's own), by address."""
    return [Suppression(*row) for row in session.execute(_LIST, {"account": account_id, "now": now})]


def following(session: Session, account_id: int, now: float, behind: str, limit: int) -> list[Suppression]:
    """The first of those whose address comes behind that one: a long list a part at a time, none of them twice."""
    query = _LIST.where(_row.address > behind).limit(limit)
    return [Suppression(*row) for row in session.execute(query, {"account": account_id, "now": now})]


def page(
    session: Session,
    account_id: int,
    now: float,
    *,
    find: str = "",
    before: tuple[float, str] | None = None,
    limit: int,
) -> list[Suppression]:
    """Those of an account that are in force, the newest first, behind ``before`` (when it was made, and its address).

    ``find``: only those with this text in the address or the detail.
    """
    query = _SELECT.where(_row.account_id == bindparam("account"), IN_FORCE)
    if find:
        query = query.where(or_(*(c.icontains(find, autoescape=True) for c in (_row.address, _row.detail))))
    place = tuple_(_row.created_at, _row.address)
    if before is not None:
        query = query.where(place < tuple_(*before))
    query = query.order_by(_row.created_at.desc(), _row.address.desc()).limit(limit)
    return [Suppression(*row) for row in session.execute(query, {"account": account_id, "now": now})]


def forget(session: Session, now: float) -> int:
    """Delete those that are over, some at a time; how many."""
    return delete_some(session, _row, _row.expires_at <= now)


def any_for(account_id: InstrumentedAttribute[int]) -> ColumnElement[bool]:
    """Within a statement that has the parameter ``now``: whether anything is suppressed for that account."""
    return exists().where(_row.account_id.in_((EVERY_ACCOUNT, account_id)), IN_FORCE)


def clean_address(text: str) -> str:
    """The address that a person gave, as it is kept; UsageError when no mail could be sent to it."""
    text = text.strip()
    try:
        usable = parse_forward_path(f"<{text}>").mailbox == text and "@" in text
    except Refused:
        usable = False
    if not usable:
        raise UsageError(f"{text!r} is not an address such as joe@example.org")
    return comparable(text)


def clean_detail(text: str) -> str:
    """A detail as it is kept: in one line, and not too long."""
    return "".join([c if c.isprintable() else " " for c in text[:MAX_DETAIL]])


def comparable(address: str) -> str:
    """The form in which addresses are compared: without capitals and needless quotes, and the domain in A-labels."""
    local, _, domain = address.rpartition("@")
    if local.startswith('"'):
        local = re.sub(r"\\(.)", r"\1", local[1:-1])
        if not _DOT_STRING.fullmatch(local):
            local = '"' + re.sub(r'["\\]', r"\\\g<0>", local) + '"'
    return f"{local.lower()}@{_looked_up(domain)}"


def _write(session: Session, made: Sequence[Suppression]) -> None:
    ordered = sorted(made, key=lambda one: (one.account_id, one.address))
    _SUPPRESS.run(session, [dict(zip(COLUMNS, astuple(one), strict=True)) for one in ordered])


def _event(made: Suppression) -> dict[str, Any]:
    facts = {
        "address": made.address,
        "reason": made.reason,
        "detail": made.detail,
        "expires_at": made.expires_at,
    }
    return events.about_recipient(made.account_id, made.message_id, None, "address_suppressed", made.created_at, facts)


def _looked_up(domain: str) -> str:
    """The name that the resolver makes of a domain (RFC 5890; UTS 46); what is no name stays."""
    if not domain.isascii():
        with contextlib.suppress(dns.exception.DNSException, UnicodeError):
            domain = dns.name.from_text(domain, None, dns.name.IDNA_2008_Practical).to_text()
    return domain.lower()
