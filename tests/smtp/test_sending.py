"""The sending machine against scripted servers: no socket, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.message.envelope import Envelope, Recipient
from postmeter.smtp.mail import PIECE, Mail
from postmeter.smtp.reply import Reply
from postmeter.smtp.sending import Closed, Event, Ready, SendingSession, Sent, StartTls, TlsPolicy

GREETING = b"220 mx.test ESMTP\r\n"
PLAIN = b"250 mx.test\r\n"
PIPELINING = b"250-mx.test\r\n250-PIPELINING\r\n250-SIZE 0\r\n250 8BITMIME\r\n"
WITH_TLS = b"250-mx.test\r\n250-PIPELINING\r\n250 STARTTLS\r\n"
CONTENT = b"Subject: x\r\n\r\n.hello\r\n"
WIRE = b"Subject: x\r\n\r\n..hello\r\n.\r\n"


def mail(count: int = 1, content: bytes = CONTENT, *, smtputf8: bool = False) -> Mail:
    recipients = tuple(Recipient(f"r{number}@example.org") for number in range(count))
    return Mail(Envelope("b@example.net", recipients, smtputf8=smtputf8), (content,))


@dataclass
class Play:
    """A machine with what it said and told."""

    tls: TlsPolicy = "opportunistic"
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.machine = SendingSession("relay.test", self.tls)

    def hear(self, data: bytes) -> bytes:
        self.machine.receive(data)
        return self.said()

    def send(self, one: Mail) -> bytes:
        self.machine.send(one)
        return self.said()

    def lose(self) -> None:
        self.machine.lost()
        self.said()

    def said(self) -> bytes:
        while (event := self.machine.poll()) is not None:
            self.events.append(event)
        pieces = []
        while piece := self.machine.outgoing():
            pieces.append(piece)
        return b"".join(pieces)

    def outcomes(self) -> list[tuple[int, int, str, bool, bool]]:
        """Recipient, code, stage, delivered, in doubt; of the last mail, by recipient."""
        sent = [event for event in self.events if isinstance(event, Sent)][-1]
        return sorted((one.recipient, one.reply.code, one.stage, one.delivered, one.in_doubt) for one in sent.outcomes)


def ready(extensions: bytes = PIPELINING) -> Play:
    play = Play()
    play.hear(GREETING)
    play.hear(extensions)
    assert play.events == [Ready()]
    return play


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


REPLIES = [b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 ok\r\n"]


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


def test_data_answered_by_something_else_than_354_is_a_protocol_error() -> None:
    play = ready()
    play.send(mail())
    assert play.hear(b"250 ok\r\n250 ok\r\n250 ok\r\n") == b""
    assert play.outcomes() == [(0, 451, "data", False, False)]


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
