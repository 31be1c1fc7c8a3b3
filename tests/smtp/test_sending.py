"""The sending machine's session against scripted servers: no socket, no clock."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.smtp.reply import Reply
from postmeter.smtp.sending import Closed, Event, Ready, SendingSession, StartTls
from support.sending import GREETING, PIPELINING, PLAIN, REPLIES, WIRE, WITH_TLS, Play, mail, ready


def test_a_mail_takes_one_write_for_the_envelope_and_one_for_the_content() -> None:
    play = Play()
    assert play.hear(GREETING) == b"EHLO relay.test\r\n"
    assert play.hear(PIPELINING) == b""
    assert play.machine.peer == "mx.test"
    group = b"MAIL FROM:<b@example.net> SIZE=22\r\nRCPT TO:<r0@example.org>\r\nRCPT TO:<r1@example.org>\r\nDATA\r\n"
    assert play.send(mail(2)) == group
    assert play.hear(b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n") == WIRE
    play.hear(b"250 2.0.0 queued as 1\r\n")
    assert play.outcomes() == [(0, 250, "content", True, False), (1, 250, "content", True, False)]
    assert play.machine.ready
    play.machine.quit()
    assert play.said() == b"QUIT\r\n"
    play.hear(b"221 bye\r\n")
    assert play.events[-1] == Closed(Reply(221, "", "bye"), "ehlo")


@pytest.mark.parametrize("greeting", [b"554 5.7.1 blocked\r\n", b"421 busy\r\n", b"450 later\r\n"])
def test_a_refusing_banner_closes_before_anything_was_said(greeting: bytes) -> None:
    play = Play()
    assert play.hear(greeting) == b""
    assert isinstance(play.events[0], Closed)
    assert play.events[0].stage == "banner"


def test_helo_is_said_where_ehlo_is_not_known() -> None:
    play = Play()
    play.hear(GREETING)
    assert play.hear(b"502 what?\r\n") == b"HELO relay.test\r\n"
    play.hear(b"250 old.test\r\n")
    assert play.events == [Ready()]
    assert play.machine.peer == "old.test"


@pytest.mark.parametrize("reply", [b"421 go\r\n", b"450 later\r\n", b"550 no\r\n550 no\r\n"])
def test_a_refused_hello_is_about_the_session(reply: bytes) -> None:
    play = Play()
    play.hear(GREETING)
    play.hear(reply)
    assert [(event.stage, event.reply.code) for event in play.events if isinstance(event, Closed)] == [
        ("ehlo", int(reply[:3]))
    ]


def test_starttls_forgets_what_was_said_in_clear() -> None:
    play = Play()
    play.hear(GREETING)
    assert play.hear(WITH_TLS) == b"STARTTLS\r\n"
    assert play.hear(b"220 go\r\n") == b""
    assert play.events == [StartTls()]
    play.machine.secured()
    assert play.said() == b"EHLO relay.test\r\n"
    assert play.machine.extensions == {}
    play.hear(b"250-mx.test\r\n250 SIZE 5\r\n")
    assert play.machine.extensions == {"SIZE": "5"}
    assert play.events[-1] == Ready()


def test_octets_behind_the_starttls_reply_end_the_session() -> None:
    play = Play()
    play.hear(GREETING)
    play.hear(WITH_TLS)
    assert play.hear(b"220 go\r\n250-mx.test\r\n") == b""
    assert [type(event) for event in play.events] == [Closed]
    assert play.machine.state == "closed"


def test_a_refused_starttls_goes_on_in_clear_only_when_that_may_be() -> None:
    play = ready(b"250-mx.test\r\n250 SIZE\r\n")
    assert play.machine.ready
    for policy, last in (("opportunistic", Ready), ("required", Closed)):
        play = Play(policy)  # type: ignore[arg-type]
        play.hear(GREETING)
        play.hear(WITH_TLS)
        play.hear(b"454 4.7.0 not now\r\n")
        assert isinstance(play.events[-1], last)


def test_required_tls_that_is_not_offered_ends_the_session() -> None:
    play = Play("required")
    play.hear(GREETING)
    play.hear(PLAIN)
    assert [(event.reply.status, event.stage) for event in play.events if isinstance(event, Closed)] == [
        ("4.7.10", "starttls")
    ]


def test_unwanted_tls_is_not_begun() -> None:
    play = Play("none")
    play.hear(GREETING)
    assert play.hear(WITH_TLS) == b""
    assert play.events == [Ready()]


def test_internationalised_mail_is_not_given_to_a_server_without_smtputf8() -> None:
    play = ready()
    assert play.send(mail(smtputf8=True)) == b""
    assert play.outcomes() == [(0, 550, "mail", False, False)]
    assert play.machine.ready
    assert play.send(mail()).startswith(b"MAIL")


@pytest.mark.parametrize("answered", range(4))
def test_a_421_ends_the_session_without_doubt(answered: int) -> None:
    play = ready()
    play.send(mail())
    for reply in REPLIES[:answered]:
        play.hear(reply)
    play.hear(b"421 4.3.2 closing\r\n")
    assert [(one[1], one[4]) for one in play.outcomes()] == [(421, False)]
    assert isinstance(play.events[-1], Closed)
    assert not play.machine.ready


@pytest.mark.parametrize("garbage", [b"hello\r\n", b"\x00\xff\r\n", b"250-x\r\n" * 200, b"2" * 70_000, b"300 what\r\n"])
@pytest.mark.parametrize("answered", range(4))
def test_garbage_is_a_passing_trouble(garbage: bytes, answered: int) -> None:
    play = ready()
    play.send(mail())
    for reply in REPLIES[:answered]:
        play.hear(reply)
    play.hear(garbage)
    [(_, code, _, delivered, in_doubt)] = play.outcomes()
    assert (code, delivered, in_doubt) == (451, False, answered == 3)
    assert isinstance(play.events[-1], Closed)


def test_words_between_mails_end_the_session() -> None:
    for words in (b"421 4.4.2 idle\r\n", b"250 by the way\r\n"):
        play = ready()
        play.hear(words)
        assert isinstance(play.events[-1], Closed)


def test_a_421_right_behind_the_last_reply_leaves_that_valid() -> None:
    play = ready()
    play.send(mail())
    play.hear(b"".join(REPLIES[:3]))
    play.hear(b"250 ok\r\n421 enough\r\n")
    assert play.outcomes() == [(0, 250, "content", True, False)]
    assert isinstance(play.events[-1], Closed)
    assert not play.machine.ready


def test_a_mail_before_the_session_is_ready_is_a_defect() -> None:
    with pytest.raises(RuntimeError):
        SendingSession("relay.test").send(mail())


@given(st.lists(st.integers(0, 400), max_size=30))
def test_chunks_of_replies_do_not_matter(places: list[int]) -> None:
    """Each answer of the server is cut at these places; what is said and told stays the same."""
    answers = [
        GREETING,
        PIPELINING,
        b"250 ok\r\n250 ok\r\n550-5.1.1 no\r\n550 5.1.1 user\r\n354 go\r\n",
        b"250-queued\r\n250 as 1\r\n",
        b"250 ok\r\n550 no\r\n550 no\r\n554 no\r\n",
    ]

    def run(cuts: list[int]) -> tuple[bytes, list[Event]]:
        play, said = Play(), b""
        for number, answer in enumerate(answers):
            if number in (2, 4):
                said += play.send(mail(2))
            borders = [0, *sorted(cut for cut in cuts if cut < len(answer)), len(answer)]
            for start, end in pairwise(borders):
                said += play.hear(answer[start:end])
        return said, play.events

    assert run(places) == run([])
