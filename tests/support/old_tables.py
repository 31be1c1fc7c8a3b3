"""What a relay had stored before its ledger had signs: rows of the first tables, as its own statements made them."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from support.tenants import NOW

LATER = NOW + 1e6
CONTENT = b"Subject: hello\r\n\r\nworld\r\n"
# state, final at, block, charge of the recipients of one message
RECIPIENTS: tuple[tuple[str, float | None, int | None, str], ...] = (
    ("delivered", NOW, 1, "charged"),
    ("bounced", NOW, 1, "released"),
    ("queued", None, 1, "reserved"),
    ("queued", None, None, "reserved"),
    ("bounced", NOW, None, "released"),
)
BLOCKS: tuple[tuple[int, str, int, int, int, int, float, float], ...] = (
    (1, "paid", 10, 8, 1, 1, NOW, LATER),
    (2, "demo", 5, 5, 0, 0, NOW, LATER),
    (3, "paid", 7, 7, 0, 0, 1.0, 2.0),
)
LEDGER: tuple[tuple[int | None, str, int], ...] = (
    (1, "book", 10),
    (2, "book", 5),
    (3, "book", 7),
    (1, "reserve", 3),
    (None, "reserve", 2),
    (1, "charge", 1),
    (1, "release", 1),
    (None, "release", 1),
)


def fill(session: Session) -> None:
    """An account with blocks, and a message of it on its way."""

    def add(table: str, **values: Any) -> None:
        names = ", ".join(values)
        session.execute(text(f"INSERT INTO {table} ({names}) VALUES (:{', :'.join(values)})"), values)

    add("account", id=1, name="one", agreement=True, blocked="", threshold=14, overdraft=1, created_at=NOW)
    for row in BLOCKS:
        names = ("id", "kind", "size", '"left"', "reserved", "charged", "booked_at", "expires_at")
        session.execute(
            text(f"INSERT INTO block (account_id, {', '.join(names)}) VALUES (1, :0, :1, :2, :3, :4, :5, :6, :7)"),
            {str(n): value for n, value in enumerate(row)},
        )
    for block, kind, units in LEDGER:
        add("ledger", account_id=1, block_id=block, kind=kind, units=units, at=NOW)
    message = {"account_id": 1, "connection_id": 7, "accepted_at": NOW}
    texts = dict.fromkeys(("domain", "reverse_path", "ret", "envid", "header_from", "subject", "message_id"), "x")
    digest = hashlib.sha256(CONTENT).digest()
    add("message", id="A", **message, **texts, body="7BIT", smtputf8=False, size=len(CONTENT), sha256=digest)
    add("content", message_id="A", account_id=1, n=0, data=CONTENT)
    add("event", account_id=1, kind="accepted", message_id="A", at=NOW, facts="{}")
    for n, (state, final_at, block, charge) in enumerate(RECIPIENTS):
        paid = {"final_at": final_at, "block_id": block, "charge": charge}
        path = {"forward_path": f"r{n}@example.net", "notify": "", "orcpt": "", "reply": ""}
        tried = {"next_attempt_at": NOW, "attempts": 0, "in_doubt": 0}
        add("recipient", message_id="A", n=n, **message, **path, **tried, state=state, **paid)
        if final_at:
            add("event", account_id=1, kind=state, message_id="A", recipient=n, at=NOW, facts="{}")
    zero = dict.fromkeys(("deferred", "suppressed", "cancelled", "complained"), 0)
    add("counter", account_id=1, connection_id=7, bucket=0, arrived=5, delivered=1, bounced=2, **zero)
