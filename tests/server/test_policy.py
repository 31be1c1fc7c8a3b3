"""What is answered to RCPT, and how long a client waits for it."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from postmeter.server.policy import MOST_ASKED, PATIENCE, SILENCE, RecipientPolicy
from postmeter.smtp.replies import NO_SUCH_DOMAIN, NULL_MX, RECIPIENT_OK, RECIPIENT_UNCHECKED
from postmeter.smtp.reply import Reply
from postmeter.store.suppressions import BOUNCE, COMPLAINT, EVERY_ACCOUNT, MANUAL, Suppression
from support.reception import ACCESS

LOOKING = replace(ACCESS, suppressions=True)
AT = 1_800_000_000.0


class Door:
    """A policy with what it asks; ``suppressed`` and ``domains`` are what it is told."""

    def __init__(self, suppressed: Any = None, **domains: Any) -> None:
        self.clock = Clock()
        self.asked: list[Any] = []
        self._suppressed = suppressed
        self._domains = domains
        self.policy = RecipientPolicy(self._look_up, self._null_mx, self.clock)

    def _look_up(self, account_id: int, address: str) -> Deferred[Suppression | None]:
        self.asked.append((account_id, address))
        if isinstance(self._suppressed, Exception):
            return fail(self._suppressed)
        return self._suppressed if isinstance(self._suppressed, Deferred) else succeed(self._suppressed)

    def _null_mx(self, domain: str) -> bool | Deferred[bool]:
        self.asked.append(domain)
        found: bool | Deferred[bool] = self._domains.get(domain.partition(".")[0], False)
        return found

    def reply(self, path: str, access: Any = ACCESS) -> list[Reply]:
        """The answer in a list, which is empty until there is one."""
        answers: list[Reply] = []
        answer = self.policy.check(access, path)
        if isinstance(answer, Deferred):
            answer.addCallback(answers.append)
        else:
            answers.append(answer)
        return answers


def suppression(reason: str = MANUAL, detail: str = "", account: int = 3) -> Suppression:
    return Suppression(account, "joe@example.org", reason, detail, None, AT, None)


# At once


def test_usually_there_is_nothing_to_wait_for() -> None:
    door = Door()
    assert door.policy.check(ACCESS, "joe@example.org") is RECIPIENT_OK
    assert door.policy.check(ACCESS, '"a@b"@example.net') is RECIPIENT_OK
    assert door.asked == ["example.org", "example.net"]


@pytest.mark.parametrize("access", [ACCESS, LOOKING])
def test_an_address_without_a_domain_is_refused(access: Any) -> None:
    door = Door()
    assert door.policy.check(access, "Postmaster") is NO_SUCH_DOMAIN
    assert door.asked == []


def test_a_domain_that_takes_no_mail_is_refused() -> None:
    assert Door(none=True).policy.check(ACCESS, "joe@none.example") is NULL_MX
    assert (NULL_MX.code, NULL_MX.status) == (556, "5.1.10")


# Suppressed


def test_an_account_with_suppressions_has_every_address_looked_up() -> None:
    door = Door(none=True)
    assert door.reply("Joe@example.org", LOOKING) == [RECIPIENT_OK]
    assert door.asked == [(ACCESS.account_id, "Joe@example.org"), "example.org"]
    assert door.reply("joe@none.example", LOOKING) == [NULL_MX]


def test_where_they_are_accepted_nobody_is_looked_up() -> None:
    policy = RecipientPolicy(None, lambda domain: domain == "none.example", Clock())
    assert policy.check(LOOKING, "joe@example.org") is RECIPIENT_OK
    assert policy.check(LOOKING, "joe@none.example") is NULL_MX


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (
            suppression(BOUNCE, "550 5.1.1 No such user"),
            "This address was suppressed on 2027-01-15, because mail to it bounced (550 5.1.1 No such user); "
            "you in the panel, or the relay's operator, can take it off the list again",
        ),
        (
            suppression(COMPLAINT),
            "This address was suppressed on 2027-01-15, because its owner complained about mail; "
            "you in the panel, or the relay's operator, can take it off the list again",
        ),
        (
            suppression(MANUAL, "asked by phone", EVERY_ACCOUNT),
            "This address was suppressed on 2027-01-15, by hand (asked by phone); "
            "only the relay's operator can take it off the list again",
        ),
    ],
)
def test_a_suppressed_address_is_refused_with_the_reason_and_what_to_do(found: Suppression, text: str) -> None:
    door = Door(found)
    assert door.reply("joe@example.org", LOOKING) == [Reply(550, "5.7.1", text)]
    assert door.asked == [(ACCESS.account_id, "joe@example.org")]


@given(st.text(max_size=600), st.text(max_size=40))
def test_nothing_of_a_detail_leaves_its_line(detail: str, path: str) -> None:
    [reply] = Door(suppression(BOUNCE, detail)).reply(f"{path}@example.org", LOOKING)
    wire = reply.encode()
    assert wire.startswith(b"550 5.7.1 This address was suppressed on 2027-01-15, ")
    assert wire.endswith(b"can take it off the list again\r\n")
    assert all(32 <= octet < 127 for octet in wire[:-2])


def test_a_database_that_is_away_is_temporary(caplog: pytest.LogCaptureFixture) -> None:
    assert Door(OSError("no connection")).reply("joe@example.org", LOOKING) == [RECIPIENT_UNCHECKED]
    assert (RECIPIENT_UNCHECKED.code, RECIPIENT_UNCHECKED.status) == (451, "4.3.0")
    assert "a recipient could not be checked" in caplog.text


def test_the_database_is_waited_for() -> None:
    waiting: Deferred[Suppression | None] = Deferred()
    answers = Door(waiting).reply("joe@example.org", LOOKING)
    assert answers == []
    waiting.callback(None)
    assert answers == [RECIPIENT_OK]


# The DNS


@pytest.mark.parametrize(("refuses", "reply"), [(True, NULL_MX), (False, RECIPIENT_OK)])
@pytest.mark.parametrize("access", [ACCESS, LOOKING])
def test_the_dns_is_waited_for_a_moment(refuses: bool, reply: Reply, access: Any) -> None:
    found: Deferred[bool] = Deferred()
    door = Door(slow=found)
    answers = door.reply("joe@slow.example", access)
    door.clock.advance(PATIENCE - 0.1)
    assert answers == []
    found.callback(refuses)
    assert answers == [reply]
    assert door.clock.getDelayedCalls() == []


def test_a_dns_that_does_not_answer_refuses_nothing_and_holds_nobody_else_up() -> None:
    late: Deferred[bool] = Deferred()
    door = Door(slow=late, other=Deferred(), third=Deferred(), known=True)
    answers = door.reply("joe@slow.example")
    door.clock.advance(PATIENCE)
    assert answers == [RECIPIENT_OK]
    late.callback(True)  # nobody waits for it any more
    assert answers == [RECIPIENT_OK]
    door.clock.advance(SILENCE - 0.1)
    assert door.reply("joe@other.example") == [RECIPIENT_OK]
    assert door.reply("joe@known.example") == [RECIPIENT_OK]  # it is not even asked: that would take a socket
    assert door.reply("joe@other.example", LOOKING) == [RECIPIENT_OK]
    assert "other.example" not in door.asked
    door.clock.advance(0.2)
    assert door.reply("joe@third.example") == []
    door.clock.advance(PATIENCE)


def test_no_more_questions_are_asked_at_a_time_than_there_may_be_sockets() -> None:
    door = Door(**{f"d{n}": Deferred() for n in range(MOST_ASKED + 1)})
    for n in range(MOST_ASKED):
        assert door.reply(f"joe@d{n}.example") == []
    assert door.reply(f"joe@d{MOST_ASKED}.example") == [RECIPIENT_OK]
    assert len(door.asked) == MOST_ASKED
    door.clock.advance(PATIENCE)
    door.clock.advance(SILENCE)
    assert door.reply(f"joe@d{MOST_ASKED}.example") == []
    door.clock.advance(PATIENCE)


def test_a_defect_in_the_look_up_is_logged_and_refuses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    found: Deferred[bool] = Deferred()
    door = Door(odd=found, other=Deferred())
    answers = door.reply("joe@odd.example")
    with caplog.at_level(logging.ERROR):
        found.errback(ValueError("odd"))
    assert answers == [RECIPIENT_OK]
    assert "a defect while a domain was looked up" in caplog.text
    assert door.reply("joe@other.example") == []
    door.clock.advance(PATIENCE)
