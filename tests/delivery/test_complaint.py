"""What servers say is heard wherever they say it, and what of it means that they get fewer sessions."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted

from postmeter.delivery.complaint import Said, complains, too_much
from postmeter.delivery.destination import MOST_SAID, Limits
from postmeter.delivery.route import Host, Route
from postmeter.delivery.sender import Stage
from postmeter.message.bounce import Classifier, classify
from postmeter.smtp.reply import Reply
from postmeter.smtp.sending import CONNECTION_LOST, NO_TLS
from support.delivering import NewPool, NewServer, mail, pause, told
from support.mail_server import Drop, Later, MailServer


class Ears:
    """A shaper whose only gate lets all pass and keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[list[tuple[int, str, str]], int]] = []
        self.most = 8

    def limits(self, _route: Route) -> Limits:
        return Limits(self.most, self.most)

    def gate(self, _route: Route, _source: str, room: Any) -> Any:
        self._room = room
        return self

    def learn(self, said: Any, step: int) -> None:
        self.heard.append(([(one.reply.code, one.stage, one.host) for one in said], step))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._room, name)


def to(*servers: MailServer) -> Route:
    hosts = tuple(Host(f"mx{n}.test", "127.0.0.1", one.port) for n, one in enumerate(servers))
    return Route("mx0.test.", hosts)


@pytest.mark.parametrize(
    ("stage", "reply", "complaint"),
    [
        ("mail", Reply(421, "", "Service not available"), True),
        ("mail", Reply(421, "4.7.0", "[TSS04] Messages temporarily deferred"), True),
        ("content", Reply(450, "4.7.28", "an unusual rate of unsolicited mail"), True),
        ("content", Reply(451, "4.7.650", "later"), True),
        ("rcpt", Reply(554, "5.7.1", "blocked using zen.spamhaus.org"), True),
        ("rcpt", Reply(451, "", "too many connections"), True),
        ("rcpt", Reply(450, "4.7.0", "too many messages from your address"), True),
        ("banner", Reply(554, "", "IP=192.0.2.1 (NOWL)"), True),
        ("rcpt", Reply(450, "4.7.1", "Greylisted, come back in five minutes"), False),
        ("starttls", Reply(454, "4.7.0", "TLS not available due to temporary reason"), False),
        ("starttls", NO_TLS, False),
        ("mail", CONNECTION_LOST, False),
        ("connect", Reply(451, "4.4.1", "No connection: refused"), False),
        ("rcpt", Reply(550, "5.1.1", "User unknown"), False),
        ("rcpt", Reply(452, "4.2.2", "Mailbox full"), False),
        ("rcpt", Reply(450, "4.2.1", "The user you are trying to contact is receiving mail at a rate that"), False),
        ("content", Reply(550, "5.2.1", "The user you are trying to contact is receiving mail at a rate that"), False),
    ],
)
def test_what_is_too_much_is_told_by_the_code_or_the_class(stage: Stage, reply: Reply, complaint: bool) -> None:
    said = Said(reply, stage, "mx.test")
    assert complains(said, classify) is complaint
    assert too_much(said, classify) is (complaint and reply.text != "Service not available")


def test_the_operators_own_rules_count() -> None:
    said = Said(Reply(451, "", "Ruhe bitte"), "rcpt", "mx.test")
    own = Classifier({"quiet": {"class": "rate", "text": ["ruhe bitte"]}})
    assert (complains(said, classify), complains(said, own.classify)) == (False, True)


@pytest_twisted.ensureDeferred
async def test_of_each_host_that_takes_no_session_it_is_heard_why(mail_server: NewServer, new_pool: NewPool) -> None:
    gone, full = mail_server(), mail_server(script={"banner": b"421 4.7.0 [TSS04] later\r\n"})
    await gone.stop()
    ears = Ears()
    delivery = await new_pool(shaper=ears).deliver(to(gone, full), mail())
    assert told(delivery) == [(451, "connect", False, False)]
    assert ears.heard == [([(451, "connect", "mx0.test"), (421, "banner", "mx1.test")], -1)]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("banner", "code", "step"), [(b"554 IP=192.0.2.1 (NOWL)\r\n", 554, -1), (Drop(), 451, 0)], ids=["says", "drops"]
)
async def test_what_earlier_hosts_said_is_heard_when_a_later_one_takes_the_session(
    mail_server: NewServer, new_pool: NewPool, banner: Any, code: int, step: int
) -> None:
    no, yes, ears = mail_server(script={"banner": banner}), mail_server(), Ears()
    assert (await new_pool(shaper=ears).deliver(to(no, yes), mail())).outcomes[0].delivered
    assert ears.heard == [([(code, "banner", "mx0.test")], step), ([], 1)]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("end", "heard"),
    [
        (b"421 4.7.0 [TSS04] Messages temporarily deferred\r\n", [([(421, "mail", "mx0.test")], -1)]),
        (b"421 Timeout, closing connection\r\n", [([(421, "mail", "mx0.test")], 0)]),
        (Drop(), []),
    ],
    ids=["complaint", "end", "lost"],
)
async def test_why_a_session_ended_before_its_next_mail_is_heard(
    mail_server: NewServer, new_pool: NewPool, end: Any, heard: Any
) -> None:
    server, ears = mail_server(script={"MAIL": [b"250 ok\r\n", end, b"250 ok\r\n"]}), Ears()
    pool = new_pool(shaper=ears)
    for _ in range(2):
        assert (await pool.deliver(to(server), mail())).outcomes[0].delivered
    assert ears.heard == [([], 1), *heard, ([], 1)]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("refusal", "step"),
    [(b"450 4.7.28 unusual rate\r\n", -1), (b"452 4.5.3 too many recipients\r\n", 1), (b"550 5.1.1 nobody\r\n", 1)],
)
async def test_a_complaint_counts_for_more_than_a_success_beside_it(
    mail_server: NewServer, new_pool: NewPool, refusal: bytes, step: int
) -> None:
    server, ears = mail_server(script={"RCPT": [b"250 ok\r\n", refusal]}), Ears()
    delivery = await new_pool(shaper=ears).deliver(to(server), mail(*(f"r{n}@x.example" for n in range(100))))
    assert sum(one.delivered for one in delivery.outcomes) == 1
    [(said, heard)] = ears.heard
    assert (said, heard) == ([(int(refusal[:3]), "rcpt", "mx0.test")], step)


@pytest_twisted.ensureDeferred
async def test_of_many_different_replies_the_first_few_are_heard(mail_server: NewServer, new_pool: NewPool) -> None:
    refusals = [b"550 5.1.1 nobody %d\r\n" % n for n in range(20)]
    server, ears = mail_server(script={"RCPT": refusals}), Ears()
    delivery = await new_pool(shaper=ears).deliver(to(server), mail(*(f"r{n}@x.example" for n in range(20))))
    assert len({one.reply.text for one in delivery.outcomes}) == 20
    assert [len(said) for said, _ in ears.heard] == [MOST_SAID]


@pytest_twisted.ensureDeferred
async def test_a_complaint_in_words_halves_the_sessions(mail_server: NewServer, new_pool: NewPool) -> None:
    refusal = b"554 5.7.1 blocked using zen.spamhaus.org\r\n"
    server = mail_server(script={"RCPT": refusal})
    pool = new_pool(shaper=Ears())
    for _ in range(3):
        await pool.deliver(to(server), mail())
    server.script["RCPT"] = Later(0.05, refusal)
    before = server.commands.count(b"DATA"), len(server.commands)
    waiting = [pool.deliver(to(server), mail()) for _ in range(8)]

    def begun() -> int:
        return sum(line.startswith(b"MAIL") for line in server.commands[before[1] :])

    while not begun():
        await pause(0.001)
    assert begun() == 1
    for one in waiting:
        await one
