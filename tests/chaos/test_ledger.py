"""The checker of the books notices what it is there to notice."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from chaos.ledger import Books, Promised, faults
from support.mail_sink import Received

CONTENT = b"X-Load: 1\r\n\r\nbody\r\n"
SIGNED = b"DKIM-Signature: v=1;\r\n b=x\r\n" + CONTENT
PROMISED = [Promised("A", "1", ("a@x.example", "b@x.example"))]
RECEIVED = [Received(b"<s@x.example>", (b"<a@x.example>",), SIGNED, True, 1.0)]


def recipient(n: int, path: str, state: str, charge: str) -> dict[str, Any]:
    """One recipient of message A."""
    waits = state == "queued"
    return {
        "message_id": "A",
        "n": n,
        "forward_path": path,
        "state": state,
        "charge": charge,
        "block_id": 1,
        "leaves_at": 0.0,
        "final_at": None if waits else 1.0,
        "lease_owner": None,
        "attempts": 0,
        "in_doubt": 0,
    }


def books() -> Books:
    """One message: one recipient is delivered, the other waits."""
    moves = {"book": 10, "reserve": -2, "charge": 1}
    counted = {"arrived": 2, "delivered": 1, "bounced": 0, "deferred": 0, "suppressed": 0, "cancelled": 0}
    return Books(
        messages={"A": {"sha256": hashlib.sha256(CONTENT).digest()}},
        recipients=[
            recipient(0, "a@x.example", "delivered", "charged"),
            recipient(1, "b@x.example", "queued", "reserved"),
        ],
        content={"A": CONTENT},
        blocks=[{"id": 1, "size": 10, "left": 8, "reserved": 1, "charged": 1, "due_at": 2e9}],
        accounts=[{"overdraft": 0}],
        ledger=[{"block_id": 1, "kind": kind, "units": units} for kind, units in moves.items()],
        counters=[counted],
        ends=Counter({("A", 0): 1}),
    )


def test_agreeing_books_have_no_faults() -> None:
    assert faults(PROMISED, RECEIVED, books(), 10.0) == []


FALSIFICATIONS: dict[str, tuple[Callable[[Books], object], str]] = {
    "a lost recipient": (lambda b: b.recipients.pop(), "has the recipients"),
    "a changed content": (lambda b: b.content.update(A=b"x"), "is not what was accepted"),
    "a content for nobody": (lambda b: b.content.update(B=b"x"), "kept for nobody"),
    "two final events": (lambda b: b.ends.update([("A", 0)]), "has 2 final events"),
    "a final one that is owned": (lambda b: b.recipients[0].update(lease_owner=1), "owned by 1"),
    "one that waits for ever": (lambda b: b.recipients[1].update(leaves_at=-1e6), "waits too long"),
    "delivered in name only": (lambda b: b.recipients[1].update(state="delivered", final_at=1.0), "and is not"),
    "other octets": (lambda b: b.messages["A"].update(sha256=b"x"), "has octets that were not accepted"),
    "a unit too many in the block": (lambda b: b.blocks[0].update(left=9), "block 1 has"),
    "a block that has ended with units": (lambda b: b.blocks[0].update(due_at=None), "has ended and has 8 left"),
    "units that expired in silence": (lambda b: b.blocks[0].update(left=0, due_at=None), "block 1 has (0, 1, 1)"),
    "an entry without its sign": (lambda b: b.ledger[1].update(units=2), "the ledger of block 1 says"),
    "a missing entry": (lambda b: b.ledger.pop(), "the ledger of block 1 says"),
    "an overdraft for nothing": (lambda b: b.accounts[0].update(overdraft=1), "the overdraft is not 0"),
    "a notification of what has not failed": (lambda b: b.told.update([("A", 0)]), "too often"),
    "a notification for money": (lambda b: b.own.update(N={"charge": "reserved"}), "a notification is paid: N"),
    "a wrong counter": (lambda b: b.counters[0].update(delivered=2), "the counters say"),
}


@pytest.mark.parametrize("name", FALSIFICATIONS)
def test_a_falsified_book_is_noticed(name: str) -> None:
    falsify, expected = FALSIFICATIONS[name]
    falsified = books()
    falsify(falsified)
    assert any(expected in fault for fault in faults(PROMISED, RECEIVED, falsified, 10.0))


def test_a_lost_message_is_noticed() -> None:
    assert faults(PROMISED, [], Books(), 10.0) == ["A was answered 250 and is not there"]


def test_a_copy_too_many_is_noticed() -> None:
    assert faults(PROMISED, RECEIVED * 2, books(), 10.0) == ["a@x.example has 2 copies with 0 attempts in doubt"]


def test_copies_that_differ_are_noticed() -> None:
    doubtful = books()
    doubtful.recipients[0]["in_doubt"] = 1
    other = Received(b"<s@x.example>", (b"<a@x.example>",), CONTENT, True, 1.0)
    assert faults(PROMISED, [*RECEIVED, other], doubtful, 10.0) == ["a@x.example has copies that differ"]
