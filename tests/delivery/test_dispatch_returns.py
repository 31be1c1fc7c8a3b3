"""The envelope that mail leaves with: its reverse path tells what a bounce is about, if bounces come to us at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from twisted.internet.task import Clock

from postmeter.delivery.dispatch import Dispatch, Ways
from postmeter.delivery.parcel import Parcel
from postmeter.delivery.pool import Pool
from postmeter.delivery.provider import Providers
from postmeter.delivery.route import Router
from postmeter.delivery.securing import Securing
from postmeter.delivery.signing import Signed
from postmeter.message.envelope import Envelope
from postmeter.message.identifier import time_of
from postmeter.message.return_path import DAY, ReturnDomain, Returned, ReturnPaths
from postmeter.smtp.mail import Mail
from postmeter.store.picking import Load
from support.scheduling import SIGNED, FakePool, FakeRouter, leased, route

IDENTIFIER = "01M845D52EFTKSJPV36DHCW3RR"
PATHS = ReturnPaths(b"key", 1e12)


def returning(paths: ReturnPaths) -> Signed:
    """What is signed, and comes back to us."""
    return replace(SIGNED, returns=ReturnDomain(paths, "bounce.example.net"))


class NothingEnds:
    """All is sent."""

    def put_off(self, *_: Any) -> bool:
        """See ``Ends``."""
        return False

    def time_left(self, *_: Any) -> float:
        """See ``Ends``."""
        return 60.0

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


def sent(
    *paths: str | tuple[str, str],
    signed: Signed = returning(PATHS),  # noqa: B008 - frozen
    accepted_at: float = 0.0,
    leaves_at: float | None = None,
    **envelope: Any,
) -> list[Mail]:
    """What goes to the pool: all of a domain in one transaction; a path may have a NOTIFY."""
    router, pool = FakeRouter(), FakePool()
    router.known = {"a.example": route("a"), "b.example": route("b")}
    ways = Ways(cast(Router, router), Securing(), cast(Pool, pool), Providers())
    dispatch = Dispatch(cast(Any, NothingEnds()), ways, Clock(), lambda: 0.0, lambda: True)
    known = [path if isinstance(path, tuple) else (path, "") for path in paths]
    lease = leased(*(path for path, _ in known), message_id=IDENTIFIER)
    wishes = [
        replace(one, path=replace(one.path, notify=n), leaves_at=leaves_at)
        for one, (_, n) in zip(lease.recipients, known, strict=True)
    ]
    lease = replace(lease, recipients=tuple(wishes))
    message = replace(lease.message, accepted_at=accepted_at, envelope=replace(lease.message.envelope, **envelope))
    lease = replace(lease, message=message)
    dispatch.send(Parcel(lease, None, set(), 0, Load.of(lease)), signed)
    return [mail for _, mail, _ in pool.sent]


def returned(mail: Mail) -> Returned | None:
    return PATHS.read(mail.envelope.reverse_path, 0.0)


def test_each_transaction_says_which_recipient_it_is_for() -> None:
    first, second = sent("joe@a.example", "kim@b.example")
    assert (returned(first), returned(second)) == (Returned(IDENTIFIER, 0), Returned(IDENTIFIER, 1))


def test_one_for_several_recipients_names_the_message() -> None:
    [mail] = sent("joe@a.example", "kim@a.example")
    assert returned(mail) == Returned(IDENTIFIER, None)


def test_the_null_path_stays() -> None:
    [mail] = sent("joe@a.example", reverse_path="")
    assert mail.envelope.reverse_path == ""


def test_where_bounces_do_not_come_to_us_the_senders_own_path_stays() -> None:
    [mail] = sent("joe@a.example", signed=SIGNED)
    assert mail.envelope.reverse_path == "a@shop.example"


def test_what_was_held_for_long_still_comes_back_when_it_is_sent_at_last() -> None:
    """A held recipient's lifetime stands still; releasing it moves its beginning."""
    paths = ReturnPaths(b"key", 5 * DAY)
    accepted = time_of(IDENTIFIER) / 1000
    for held, late in ((0, 34), (3_600, 34), (40 * DAY, 74)):
        [mail] = sent("joe@a.example", signed=returning(paths), accepted_at=accepted, leaves_at=accepted + held)
        assert paths.read(mail.envelope.reverse_path, accepted + late * DAY) is not None
        assert paths.read(mail.envelope.reverse_path, accepted + (late + 3) * DAY) is None


@pytest.mark.parametrize("path", ["jürgen@shop.example"])
def test_a_path_that_is_replaced_needs_no_smtputf8(path: str) -> None:
    [mail] = sent("joe@a.example", reverse_path=path, smtputf8=True)
    assert not mail.envelope.smtputf8
    assert isinstance(mail.envelope, Envelope)


@pytest.mark.parametrize(
    ("notify", "ret", "asked", "returns"),
    [
        ("", "", "", ""),
        ("NEVER", "FULL", "FAILURE", "HDRS"),
        ("SUCCESS,DELAY", "", "FAILURE", ""),
        ("FAILURE", "HDRS", "FAILURE", "HDRS"),
    ],
)
def test_what_comes_back_to_us_is_failures_whatever_the_sender_asks_for(
    notify: str, ret: str, asked: str, returns: str
) -> None:
    [mail] = sent(("joe@a.example", notify), ret=ret)
    assert (mail.envelope.recipients[0].notify, mail.envelope.ret) == (asked, returns)
    [mail] = sent(("joe@a.example", notify), signed=SIGNED, ret=ret)
    assert (mail.envelope.recipients[0].notify, mail.envelope.ret) == (notify, ret)
