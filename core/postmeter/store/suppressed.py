"""Which of many recipients have a suppressed address: asked when messages are accepted, and when workers pick them."""

from __future__ import annotations

import json
from collections.abc import Iterable

from sqlalchemy import select, text
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
# The addresses in one parameter: a statement with a thousand of them takes longer to write than to carry out.
_THESE = {
    "sqlite": "SELECT json_extract(value, '$[0]') AS account, json_extract(value, '$[1]') AS address "
    "FROM json_each(:these)",
    "postgresql": "SELECT CAST(value ->> 0 AS bigint) AS account, value ->> 1 AS address "
    "FROM json_array_elements(CAST(:these AS json))",
}
_FIND = {
    name: Statement(
        text(
            f"SELECT {', '.join(f's.{column}' for column in COLUMNS)} FROM ({these}) AS asked "  # noqa: S608 - own names
            "JOIN suppression AS s ON s.account_id IN (0, asked.account) AND s.address = asked.address "
            "WHERE s.expires_at IS NULL OR s.expires_at > :now"
        )
    )
    for name, these in _THESE.items()
}

Place = tuple[int, str]  # an account, and a forward path as it was received


def refusal(found: Suppression) -> Reply:
    """The answer about a suppressed address: since when, why, and who can change it."""
    why = _BECAUSE.get(found.reason, found.reason)
    return recipient_suppressed(iso(found.created_at)[:10], why, found.detail, found.account_id == EVERY_ACCOUNT)


def refusals(session: Session, places: Iterable[Place], now: float) -> dict[Place, str]:
    """What is said about those of the paths that are not to be tried for their accounts, the operator's word first."""
    known = {place: comparable(place[1]) for place in places}
    if not known:
        return {}
    asked = json.dumps(sorted({(account, address) for (account, _), address in known.items()}))
    rows = _FIND[session.get_bind().dialect.name].fetch(session, {"these": asked, "now": now})
    found = {(account, address): Suppression(account, address, *rest) for account, address, *rest in rows}
    if not found:
        return {}
    which = {place: found.get((EVERY_ACCOUNT, to)) or found.get((place[0], to)) for place, to in known.items()}
    return {place: str(refusal(one)) for place, one in which.items() if one is not None}


def any_known(session: Session, now: float) -> bool:
    """Whether any address is suppressed for anybody."""
    return bool(_ANY.fetch(session, {"now": now}))
