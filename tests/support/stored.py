"""Messages as rows of the tables, in any state, without anybody who has accepted or delivered them."""

from __future__ import annotations

from sqlalchemy.orm import Session

from postmeter.store.tables import DELIVERED, Message, Recipient
from support.tenants import NOW


def add_message(session: Session, identifier: str, account_id: int, states: list[tuple[str, str]]) -> None:
    """A message with recipients r0, r1, … in these states, after these answers."""
    session.add(
        Message(
            id=identifier,
            account_id=account_id,
            connection_id=3,
            accepted_at=NOW,
            domain="shop.example",
            reverse_path="bounce@shop.example",
            body="8BITMIME",
            smtputf8=False,
            ret="",
            envid="",
            header_from="order@shop.example",
            subject="Your order",
            message_id="<1@shop.example>",
            size=1234,
            sha256=bytes(32),
        )
    )
    session.flush()
    for n, (state, reply) in enumerate(states):
        session.add(add_recipient(identifier, account_id, n, state, reply))
    session.flush()


def add_recipient(identifier: str, account_id: int, n: int, state: str, reply: str) -> Recipient:
    """The row of one recipient."""
    return Recipient(
        message_id=identifier,
        account_id=account_id,
        n=n,
        connection_id=3,
        forward_path=f"r{n}@example.net",
        notify="",
        orcpt="",
        state=state,
        leaves_at=NOW,
        next_attempt_at=NOW + 100 - n,
        lease_owner=None,
        attempts=1 if reply else 0,
        final_at=NOW + 5 if state == DELIVERED else None,
        reply=reply,
        block_id=None,
        charge="reserved",
    )
