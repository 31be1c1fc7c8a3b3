"""Messages with an idempotency key, from their content to their reply."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from postmeter.smtp.replies import QUOTA_EXHAUSTED
from postmeter.store import accept, tables
from postmeter.store.accept import Duplicate, Submission
from postmeter.store.engine import Store
from postmeter.store.picking import Load
from support.accepting import IDENTIFIER, Bench, FakeDelivery, storing
from support.postage import audit, funded, rows
from support.reception import ACCESS

FIRST = "01M845D52EFTKSJPV36DHCW3QQ"


def message(*fields: bytes) -> bytes:
    """A small message."""
    return b"".join(field + b"\r\n" for field in (b"From: orders@shop.example", *fields)) + b"\r\nHello\r\n"


KEYED = message(b"Postmeter-Idempotency-Key: order 17", b"Subject: x")


def test_the_key_goes_to_the_store_and_not_into_the_content(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.reply(KEYED).code == 250
    bench.reply(message(b"Subject: x"))
    assert [submission.key for submission in bench.submissions] == [b"order 17", b""]
    assert b"dempotency" not in bench.contents[0]
    assert bench.contents[0] == bench.contents[1]
    assert bench.submissions[0].size == len(bench.contents[0])


def test_a_duplicate_is_answered_with_the_first_id_and_not_delivered(tmp_path: Path) -> None:
    bench = Bench(tmp_path, outcome=lambda _: Duplicate(FIRST))
    assert str(bench.reply(KEYED)) == f"250 2.0.0 Ok: queued as {FIRST}"
    assert bench.delivery.taken == []
    assert bench.delivery.given_up == bench.delivery.reserved == [Load(3, "example.org", 2, len(bench.contents[0]))]


def test_a_duplicate_without_room_gives_none_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path, outcome=lambda _: Duplicate(FIRST), delivery=FakeDelivery(room=False))
    assert bench.reply(KEYED).text == f"Ok: queued as {FIRST}"
    assert (bench.delivery.taken, bench.delivery.given_up) == ([], [])


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ((b"Postmeter-Idempotency-Key: a", b"postmeter-idempotency-key: a"), "at most one is allowed, found 2"),
        ((b"Postmeter-Idempotency-Key:",), "1 to 255 printable ASCII characters are needed"),
    ],
)
def test_a_key_that_is_none_is_refused_before_anything_is_stored(
    tmp_path: Path, fields: tuple[bytes, ...], text: str
) -> None:
    bench = Bench(tmp_path)
    assert str(bench.reply(message(*fields))) == f"550 5.6.0 Postmeter-Idempotency-Key: {text}"
    assert (bench.submissions, bench.delivery.reserved) == ([], [])


def test_in_a_store_the_message_is_there_once(store: Store, tmp_path: Path) -> None:
    funded(store, 3)
    change, numbers = storing(store, accept.Acceptance()), count()

    def outcome(submission: Submission) -> object:
        return change(replace(submission, id=f"{next(numbers):026d}"))  # the bench has one id for all

    bench = Bench(tmp_path, outcome=outcome, delivery=FakeDelivery(room=False))
    access = replace(ACCESS, account_id=1)
    told = [bench.reply(content, access) for content in (KEYED, message(), KEYED, KEYED)]
    assert told[0].text == f"Ok: queued as {IDENTIFIER}"
    assert told[1] is QUOTA_EXHAUSTED
    assert [reply.text for reply in told[2:]] == [f"Ok: queued as {0:026d}"] * 2
    assert len(rows(store, tables.Message)) == 1
    audit(store)
