"""What acceptance hands over to delivery after the commit, and what it leaves in the store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from postmeter.store.accept import Accepted
from postmeter.store.connections import AllowedDomain
from postmeter.store.picking import Load
from support.accepting import ENVELOPE, NOW, Bench, FakeDelivery
from support.reception import ACCESS, HELP

BODY = b"\r\nHello\r\n.\r\n"
TWO = replace(ACCESS, domains=(AllowedDomain("shop.example", HELP), AllowedDomain("eu.shop.example", "<mailto:a@b.c>")))


def message(*fields: bytes, sender: bytes = b"From: orders@shop.example") -> bytes:
    """A small message."""
    return b"".join(field + b"\r\n" for field in (sender, *fields)) + BODY


def test_what_is_suppressed_is_not_handed_over_either(tmp_path: Path) -> None:
    bench = Bench(tmp_path, outcome=lambda _: Accepted((4,), (), {0: "550 5.7.1 no"}))
    assert bench.reply(message(), replace(ACCESS, suppressions=True)).code == 250
    assert [submission.suppressions for submission in bench.submissions] == [True]
    [(leased, _)] = bench.delivery.taken
    assert [(r.n, r.path, r.block_id) for r in leased.recipients] == [(1, ENVELOPE.recipients[1], 4)]
    assert bench.delivery.given_up == [Load(ACCESS.account_id, "example.org", 1, 0)]


def test_what_is_kept_and_what_is_given_up_is_what_was_reserved_whoever_of_the_recipients_leaves(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, outcome=lambda _: Accepted((4,), (), {0: "550 5.7.1 no"}))  # the one whose domain it is
    bench.reply(message(), replace(ACCESS, suppressions=True))
    [reserved], [given_up], [kept] = bench.delivery.reserved, bench.delivery.given_up, bench.delivery.kept
    assert reserved == kept._replace(recipients=2) == given_up._replace(recipients=2, octets=kept.octets)
    assert (kept.recipients + given_up.recipients, kept.octets + given_up.octets) == (2, reserved.octets)


def test_when_all_have_to_wait_the_content_is_not_kept_in_memory(tmp_path: Path) -> None:
    bench = Bench(tmp_path, outcome=lambda _: Accepted((4, 4), (NOW + 3600,) * 2))
    assert bench.reply(message()).code == 250
    assert bench.delivery.taken == []
    assert bench.delivery.given_up == bench.delivery.reserved


def test_the_commit_is_told_that_a_connection_has_caps(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(message())
    bench.reply(message(), replace(ACCESS, capped=True))
    assert [submission.capped for submission in bench.submissions] == [False, True]


def test_a_large_content_is_handed_over_without_its_octets(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(b"From: a@shop.example\r\n\r\n" + b"x" * 70 + b"\r\n" * 1_000_000)
    assert bench.delivery.taken[0][1] is None


def test_without_room_the_message_is_queued_and_not_handed_over(tmp_path: Path) -> None:
    bench = Bench(tmp_path, delivery=FakeDelivery(room=False))
    assert bench.reply(message()).code == 250
    assert bench.submissions[0].worker is None
    assert (bench.delivery.taken, bench.delivery.given_up) == ([], [])
