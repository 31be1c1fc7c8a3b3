"""One mail transaction from the sending side: what each reply means for each recipient."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.smtp.mail import PIECE
from postmeter.smtp.sending import Closed, Sent
from support.sending import PLAIN, REPLIES, WIRE, mail, ready


def test_without_pipelining_it_goes_step_by_step() -> None:
    play = ready(PLAIN)
    assert play.send(mail(2)) == b"MAIL FROM:<b@example.net>\r\n"
    assert play.hear(b"250 ok\r\n") == b"RCPT TO:<r0@example.org>\r\n"
    assert play.hear(b"550 5.1.1 no\r\n") == b"RCPT TO:<r1@example.org>\r\n"
    assert play.hear(b"250 ok\r\n") == b"DATA\r\n"
    assert play.hear(b"354 go\r\n") == WIRE
    play.hear(b"250 ok\r\n")
    assert play.outcomes() == [(0, 550, "rcpt", False, False), (1, 250, "content", True, False)]
    assert play.send(mail()) == b"MAIL FROM:<b@example.net>\r\n", "no RSET: the mail was sent"


def test_without_pipelining_a_refused_mail_goes_no_further() -> None:
    play = ready(PLAIN)
    play.send(mail(2))
    assert play.hear(b"552 5.3.4 too big\r\n") == b""
    assert play.outcomes() == [(0, 552, "mail", False, False), (1, 552, "mail", False, False)]
    assert play.send(mail()) == b"RSET\r\n"
    assert play.hear(b"250 ok\r\n") == b"MAIL FROM:<b@example.net>\r\n"


def test_without_pipelining_no_data_without_a_recipient() -> None:
    play = ready(PLAIN)
    play.send(mail())
    play.hear(b"250 ok\r\n")
    assert play.hear(b"550 5.1.1 no\r\n") == b""
    assert play.outcomes() == [(0, 550, "rcpt", False, False)]


def test_a_refused_transaction_is_reset_before_the_next() -> None:
    play = ready()
    play.send(mail())
    play.hear(b"250 ok\r\n550 5.1.1 no\r\n503 no recipients\r\n")
    assert play.outcomes() == [(0, 550, "rcpt", False, False)]
    assert play.send(mail()).startswith(b"RSET\r\nMAIL FROM:")
    play.hear(b"250 reset\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    play.hear(b"250 ok\r\n")
    assert play.outcomes() == [(0, 250, "content", True, False)]
    assert play.send(mail()).startswith(b"MAIL FROM:")


def test_a_reset_that_is_refused_ends_the_session() -> None:
    play = ready()
    play.send(mail())
    play.hear(b"250 ok\r\n550 5.1.1 no\r\n503 no recipients\r\n")
    play.send(mail())
    play.hear(b"500 what?\r\n")
    assert play.outcomes() == [(0, 451, "mail", False, False)]
    assert isinstance(play.events[-1], Closed)


@pytest.mark.parametrize("rcpt", [b"550 5.1.1 no\r\n", b"450 4.2.1 later\r\n"])
def test_data_taken_without_recipients_is_ended_by_a_lone_dot(rcpt: bytes) -> None:
    play = ready()
    play.send(mail(2))
    assert play.hear(b"250 ok\r\n" + rcpt * 2 + b"354 go\r\n") == b".\r\n"
    assert not any(isinstance(event, Sent) for event in play.events)
    play.hear(b"554 no valid recipients\r\n")
    assert {outcome[1] for outcome in play.outcomes()} == {int(rcpt[:3])}
    assert play.machine.ready


def test_mail_refused_but_data_taken_is_ended_by_a_lone_dot() -> None:
    play = ready()
    play.send(mail(1))
    assert play.hear(b"451 4.7.1 later\r\n503 mail first\r\n354 go\r\n") == b".\r\n"
    play.hear(b"250 ok\r\n")
    assert play.outcomes() == [(0, 451, "mail", False, False)]


def test_some_recipients_refused_does_not_stop_the_others() -> None:
    play = ready()
    play.send(mail(4))
    assert play.hear(b"250 ok\r\n250 ok\r\n550 no\r\n452 many\r\n251 will forward\r\n354 go\r\n") == WIRE
    play.hear(b"451 4.3.0 disk\r\n")
    assert [(one[0], one[1], one[2]) for one in play.outcomes()] == [
        (0, 451, "content"),
        (1, 550, "rcpt"),
        (2, 452, "rcpt"),
        (3, 451, "content"),
    ]


def test_data_refused_is_the_outcome_of_those_accepted() -> None:
    play = ready()
    play.send(mail(2))
    play.hear(b"250 ok\r\n550 no\r\n250 ok\r\n451 4.3.0 no disk\r\n")
    assert play.outcomes() == [(0, 550, "rcpt", False, False), (1, 451, "data", False, False)]


@pytest.mark.parametrize("answered", range(4))
def test_a_lost_session_is_in_doubt_behind_the_dot_only(answered: int) -> None:
    play = ready()
    play.send(mail())
    for reply in REPLIES[:answered]:
        play.hear(reply)
    play.lose()
    stage = ("mail", "rcpt", "data", "content")[answered]
    assert play.outcomes() == [(0, 451, stage, False, answered == 3)]
    assert isinstance(play.events[-1], Closed)


def test_data_answered_by_something_else_than_354_is_a_protocol_error() -> None:
    play = ready()
    play.send(mail())
    assert play.hear(b"250 ok\r\n250 ok\r\n250 ok\r\n") == b""
    assert play.outcomes() == [(0, 451, "data", False, False)]


def test_a_refusal_during_the_content_ends_mail_and_session() -> None:
    play = ready()
    play.send(mail(content=b"x" * PIECE * 3))
    play.machine.receive(b"".join(REPLIES[:3]))
    assert play.machine.outgoing()
    assert play.machine.writing
    play.machine.receive(b"552 5.3.4 too big\r\n")
    assert play.said() == b""
    assert play.outcomes() == [(0, 552, "content", False, False)]
    assert isinstance(play.events[-1], Closed)


def test_praise_during_the_content_is_not_believed() -> None:
    play = ready()
    play.send(mail(content=b"x" * PIECE * 3))
    play.machine.receive(b"".join(REPLIES[:3]))
    play.machine.outgoing()
    play.machine.receive(b"250 ok\r\n")
    play.said()
    assert play.outcomes() == [(0, 451, "content", False, False)]


@given(
    st.lists(st.sampled_from([b"250 ok\r\n", b"354 go\r\n", b"550 no\r\n", b"421 bye\r\n", b"450 x\r\n", b"oops\r\n"]))
)
def test_whatever_a_server_answers_every_recipient_has_one_outcome(answers: list[bytes]) -> None:
    play = ready()
    play.send(mail(3))
    for answer in answers:
        play.hear(answer)
        if play.machine.state != "mail":
            break
    play.lose()
    sent = [event for event in play.events if isinstance(event, Sent)]
    assert len(sent) == 1
    assert sorted(outcome.recipient for outcome in sent[0].outcomes) == [0, 1, 2]
    assert isinstance(play.events[-1], Closed)
    assert all(outcome.reply.code == 250 for outcome in sent[0].outcomes if outcome.delivered)


LIMITED = b"250-mx.test\r\n250-PIPELINING\r\n250 LIMITS MAILMAX=5 RCPTMAX=2\r\n"


def test_no_more_recipients_are_named_than_the_server_says_it_takes() -> None:
    play = ready(LIMITED)
    assert play.send(mail(3)).count(b"RCPT TO") == 2
    play.hear(b"250 ok\r\n250 ok\r\n550 5.1.1 no\r\n354 go\r\n")
    play.hear(b"250 ok\r\n")
    assert play.outcomes() == [
        (0, 250, "content", True, False),
        (1, 550, "rcpt", False, False),
        (2, 452, "rcpt", False, False),
    ]
    assert play.send(mail(2)).count(b"RCPT TO") == 2


def test_a_refusal_of_mail_is_about_those_as_well_that_were_too_many() -> None:
    play = ready(LIMITED)
    play.send(mail(3))
    play.hear(b"552 5.3.4 too big\r\n503 no\r\n503 no\r\n503 no\r\n")
    assert play.outcomes() == [(n, 552, "mail", False, False) for n in range(3)]


def test_a_session_lost_before_mail_was_answered_has_nobody_handed_over() -> None:
    play = ready(LIMITED)
    play.send(mail(3))
    play.lose()
    assert play.outcomes() == [(n, 451, "mail", False, False) for n in range(3)]


def test_a_lost_session_leaves_those_that_were_too_many() -> None:
    play = ready(LIMITED)
    play.send(mail(3))
    play.hear(b"250 ok\r\n")
    play.lose()
    assert [(n, code, stage) for n, code, stage, *_ in play.outcomes()] == [
        (0, 451, "rcpt"),
        (1, 451, "rcpt"),
        (2, 452, "rcpt"),
    ]
    [sent] = [event for event in play.events if isinstance(event, Sent)]
    assert sent.exchange is not None
    assert sent.exchange.lines(2, "rcpt")
