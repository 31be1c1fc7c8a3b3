"""What is kept of a session: each recipient's part, in the order in which it was said, and never too much."""

from __future__ import annotations

import json
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.smtp.mail import Stage
from postmeter.smtp.reply import Reply
from postmeter.smtp.sending import SendingSession, Sent
from postmeter.smtp.transcript import MAX_LINES, MAX_OCTETS, MAX_TEXT, Exchange, Line, Said, dialogue
from support.sending import CONTENT, GREETING, PIPELINING, PLAIN, REPLIES, WITH_TLS, Play, mail

MAIL, DATA = "MAIL FROM:<b@example.net>", "DATA"
BODY = "(22 octets of content)"


class Timed(Play):
    """A play with a clock that goes on by a second with each answer."""

    def __post_init__(self) -> None:
        self.now = 0.0
        self.machine = SendingSession("relay.test", self.tls, lambda: self.now)

    def hear(self, data: bytes) -> bytes:
        self.now += 1
        return super().hear(data)

    def exchange(self) -> Exchange:
        [*_, sent] = [event for event in self.events if isinstance(event, Sent)]
        assert sent.exchange is not None
        return sent.exchange


def ready(extensions: bytes) -> Timed:
    play = Timed()
    play.hear(GREETING)
    play.hear(extensions)
    return play


def told(play: Timed, recipient: int = 0, stage: Stage = "content") -> list[Said]:
    return dialogue(play.exchange().lines(recipient, stage), 2.0)


def test_the_opening_has_each_command_and_answer_with_its_time() -> None:
    play = Timed()
    play.hear(GREETING)
    play.hear(WITH_TLS)
    play.hear(b"220 go\r\n")
    play.machine.secured()
    play.hear(PLAIN)
    assert dialogue(play.machine.opening, 0.0) == [
        (1.0, "S", "220 mx.test ESMTP"),
        (1.0, "C", "EHLO relay.test"),
        (2.0, "S", "250 mx.test\nPIPELINING\nSTARTTLS"),
        (2.0, "C", "STARTTLS"),
        (3.0, "S", "220 go"),
        (3.0, "C", "EHLO relay.test"),
        (4.0, "S", "250 mx.test"),
    ]
    assert play.machine.in_clear == ""


@pytest.mark.parametrize(
    ("tls", "answers", "why"),
    [
        ("none", [WITH_TLS], "it was not to be used"),
        ("opportunistic", [PLAIN], "the server does not offer it"),
        ("opportunistic", [WITH_TLS, b"454 4.7.0 no\r\n"], "the server refused it: 454 4.7.0 no"),
    ],
)
def test_why_a_session_is_in_clear_is_known(
    tls: Literal["none", "opportunistic"], answers: list[bytes], why: str
) -> None:
    play = Play(tls)
    for answer in (GREETING, *answers):
        play.hear(answer)
    assert (play.machine.ready, play.machine.in_clear) == (True, why)


def test_without_pipelining_commands_and_answers_take_turns() -> None:
    play = ready(PLAIN)
    play.send(mail())
    for reply in REPLIES:
        play.hear(reply)
    assert told(play) == [
        (0.0, "C", MAIL),
        (1.0, "S", "250 ok"),
        (1.0, "C", "RCPT TO:<r0@example.org>"),
        (2.0, "S", "250 ok"),
        (2.0, "C", DATA),
        (3.0, "S", "354 go"),
        (3.0, "C", BODY),
        (4.0, "S", "250 ok"),
    ]


def test_with_pipelining_the_commands_come_first_and_the_others_recipients_are_left_out() -> None:
    play = ready(PIPELINING)
    play.send(mail(3))
    play.hear(b"250 ok\r\n250 zero\r\n550 one\r\n250 two\r\n354 go\r\n")
    play.hear(b"250 queued\r\n")
    size = f"{MAIL} SIZE={len(CONTENT)}"
    assert told(play, 2) == [
        (0.0, "C", size),
        (0.0, "C", "RCPT TO:<r2@example.org>"),
        (0.0, "C", DATA),
        (1.0, "S", "250 ok"),
        (1.0, "S", "250 two"),
        (1.0, "S", "354 go"),
        (1.0, "C", BODY),
        (2.0, "S", "250 queued"),
    ]
    assert [text for _, _, text in told(play, 1, "rcpt")] == [size, "RCPT TO:<r1@example.org>", "250 ok", "550 one"]


def test_a_refused_sender_ends_the_dialogue_of_all() -> None:
    play = ready(PLAIN)
    play.send(mail(2))
    play.hear(b"451 4.3.0 later\r\n")
    assert [told(play, n, "mail") for n in (0, 1)] == [[(0.0, "C", MAIL), (1.0, "S", "451 4.3.0 later")]] * 2


def test_a_transaction_behind_one_that_was_left_begins_with_its_reset() -> None:
    play = ready(PLAIN)
    for _ in range(2):
        play.send(mail())
        play.hear(b"250 ok\r\n")
        play.hear(b"250 ok\r\n" if play.machine.stage == "mail" else b"550 no\r\n")
    play.hear(b"550 no\r\n")
    assert [text for _, _, text in told(play, 0, "rcpt")] == [
        *("RSET", "250 ok", MAIL, "250 ok"),
        *("RCPT TO:<r0@example.org>", "550 no"),
    ]


def test_what_was_never_given_is_not_told() -> None:
    play = ready(PLAIN)
    play.send(mail())
    play.hear(b"250 ok\r\n")
    play.lose()
    assert [text for _, _, text in told(play, 0, "rcpt")] == [MAIL, "250 ok", "RCPT TO:<r0@example.org>"]


def test_a_server_that_closes_has_the_last_word() -> None:
    play = ready(PLAIN)
    play.send(mail())
    play.hear(b"421 4.3.2 bye\r\n")
    assert told(play, 0, "mail")[-1] == (1.0, "S", "421 4.3.2 bye")


def test_no_octet_of_the_content_is_told() -> None:
    play = ready(PLAIN)
    play.send(mail(content=b"Subject: secret\r\n\r\nsecret\r\n"))
    for reply in REPLIES:
        play.hear(reply)
    assert "secret" not in str(told(play))


def test_what_came_before_the_attempt_has_its_beginning() -> None:
    assert dialogue([Line(3.0, "S", "early"), Line(7.1239, "C", b"late\r\n")], 5.0) == [
        (0.0, "S", "early"),
        (2.124, "C", "late"),
    ]


def test_too_many_lines_lose_those_in_the_middle() -> None:
    kept = dialogue([Line(float(n), "S", str(n)) for n in range(100)], 0.0)
    assert len(kept) == MAX_LINES
    assert (kept[0][2], kept[-1][2]) == ("0", "99")
    [(_, _, text)] = [line for line in kept if not line[2].isdigit()]
    assert text == f"({100 - MAX_LINES + 1} lines are left out)"


Texts = st.lists(st.text(max_size=400) | st.text(st.characters(min_codepoint=0x80), min_size=250, max_size=400))


@given(Texts)
def test_a_dialogue_is_never_larger_than_it_may_be(texts: list[str]) -> None:
    kept = dialogue([Line(1000.0 + n, "S", Reply(250, "", text)) for n, text in enumerate(texts)], 0.0)
    assert len(kept) == min(len(texts), MAX_LINES)
    assert len(json.dumps(kept)) <= MAX_OCTETS
    assert all(len(text) <= MAX_TEXT for _, _, text in kept)
    assert [line for line in kept if not line[2]] == []
