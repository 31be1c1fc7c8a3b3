"""Which of many recipients have a suppressed address: asked when messages are accepted, and when workers pick them."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import bindparam, select, tuple_
from sqlalchemy.orm import Session

from postmeter.smtp.replies import recipient_suppressed
from postmeter.smtp.reply import Reply
from postmeter.store.quota import iso
from postmeter.store.recipient_tables import Suppression as Row
from postmeter.store.statement import Statement
from postmeter.store.suppressions import (
    BOUNCE,
    COLUMNS,
    COMPLAINT,
    EVERY_ACCOUNT,
    IN_FORCE,
    MANUAL,
    Suppression,
    comparable,
)

_BECAUSE = {
    BOUNCE: "because mail to it bounced",
    COMPLAINT: "because its owner complained about mail",
    MANUAL: "by hand",
}
_ANY = Statement(select(Row.account_id).where(IN_FORCE).limit(1))
_THESE = select(*COLUMNS).where(tuple_(Row.account_id, Row.address).in_(bindparam("these", expanding=True)), IN_FORCE)

Place = tuple[int, str]  # an account, and a forward path as it was received


def refusal(found: Suppression) -> Reply:
    """The answer about a suppressed address: since when, why, and who can change it."""
    why = _BECAUSE.get(found.reason, found.reason)
    return recipient_suppressed(iso(found.created_at)[:10], why, found.detail, found.account_id == EVERY_ACCOUNT)


def refusals(session: Session, places: Iterable[Place], now: float) -> dict[Place, str]:
    """What is said about those of the paths that are not to be tried for their accounts, the operator's word first."""
    known = {place: comparable(place[1]) for place in places}
    asked = {(account, address) for (own, _), address in known.items() for account in (EVERY_ACCOUNT, own)}
    rows = session.execute(_THESE, {"these": sorted(asked), "now": now}) if asked else ()
    found = {(row.account_id, row.address): Suppression(*row) for row in rows}
    if not found:
        return {}
    which = {place: found.get((EVERY_ACCOUNT, to)) or found.get((place[0], to)) for place, to in known.items()}
    return {place: str(refusal(one)) for place, one in which.items() if one is not None}


def any_known(session: Session, now: float) -> bool:
    """Whether any address is suppressed for anybody."""
    return bool(_ANY.fetch(session, {"now": now}))
