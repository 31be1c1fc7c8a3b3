"""A server that greylists by all that it is told: mail for several recipients gets through within seven minutes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from postmeter.delivery.job import BUSY
from postmeter.delivery.retry import MINUTE, draw
from postmeter.message.return_path import ReturnDomain, Returned, ReturnPaths
from postmeter.smtp.mail import Mail, Outcome
from postmeter.smtp.reply import Reply
from postmeter.store.settle import Settlement
from support.scheduling import DONE, SIGNED, Bench, delivery, leased, route

IDENTIFIER = "01M845D52EFTKSJPV36DHCW3RR"
PATHS = ReturnPaths(b"key", 1e12)
GREYLISTED = Reply(450, "4.7.1", "Greylisted, come back in a while")
HELD_OFF = 5 * MINUTE


class Greylisting:
    """Takes mail whose sender and recipient it has met ``HELD_OFF`` ago (RFC 6647, 2.3); who is ``known`` at once."""

    def __init__(self, bench: Bench, known: Iterable[str] = ()) -> None:
        self._bench = bench
        self._known = frozenset(known)
        self._met: dict[tuple[str, str], float] = {}
        self.senders: list[str] = []

    def answer(self) -> None:
        """All that was sent gets its outcome."""
        while self._bench.pool.sent:
            _, mail, sent = self._bench.pool.sent.pop(0)
            self.senders.append(mail.envelope.reverse_path)
            replies = [self._reply(mail, to.forward_path) for to in mail.envelope.recipients]
            outcomes = (
                Outcome(n, reply, "content" if reply is DONE else "rcpt", reply.positive)
                for n, reply in enumerate(replies)
            )
            sent.callback(replace(delivery(DONE), outcomes=tuple(outcomes)))

    def _reply(self, mail: Mail, path: str) -> Reply:
        now = self._bench.clock.seconds()
        met = self._met.setdefault((mail.envelope.reverse_path, path), now)
        return DONE if path in self._known or now >= met + HELD_OFF else GREYLISTED


@pytest.fixture
def bench() -> Bench:
    made = Bench(draw=draw)
    made.router.known = {"example.org": route("mx")}
    made.signer.answer = replace(SIGNED, returns=ReturnDomain(PATHS, "bounce.example.net"))
    made.scheduler.start()
    return made


def play(bench: Bench, server: Greylisting, *paths: str) -> dict[str, float]:
    """Send a message until nobody waits any more, as the store would have it: when each recipient was taken."""
    bench.take(leased(*paths, message_id=IDENTIFIER))
    taken: dict[str, float] = {}
    waiting: list[Settlement] = []
    for _ in range(3600):
        server.answer()
        bench.gather()
        for settled in bench.writer.settled:
            if settled.final:
                taken[settled.recipient.path.forward_path] = settled.at
            else:
                waiting.append(settled)
        bench.writer.settled.clear()
        due = [one for one in waiting if one.next_attempt_at <= bench.clock.seconds()]
        if due:
            waiting = [one for one in waiting if one not in due]
            bench.writer.due.append([again(due)])
        bench.clock.advance(1)
    bench.scheduler.stop()
    return taken


def again(due: list[Settlement]) -> object:
    """What the store hands over of a message at its next attempt."""
    recipients = (
        replace(one.recipient, attempts=one.recipient.attempts + 1, failure=one.failure.name)
        for one in due
        if one.failure is not None
    )
    return replace(leased(message_id=IDENTIFIER), recipients=tuple(recipients))


def test_those_who_were_greylisted_together_come_again_together(bench: Bench) -> None:
    server = Greylisting(bench)
    taken = play(bench, server, "joe@example.org", "kim@example.org")
    assert len(taken) == 2
    assert max(taken.values()) <= 7 * MINUTE
    assert len(server.senders) == 2
    assert len(set(server.senders)) == 1


def test_who_was_greylisted_alone_comes_again_as_the_same_sender(bench: Bench) -> None:
    server = Greylisting(bench, known=["joe@example.org"])
    taken = play(bench, server, "joe@example.org", "kim@example.org")
    assert taken["joe@example.org"] < MINUTE
    assert taken["kim@example.org"] <= 7 * MINUTE
    assert len(set(server.senders)) == 1


def test_who_only_waited_with_others_was_tried_with_nobody(bench: Bench) -> None:
    bench.take(leased("joe@example.org", "kim@example.org", message_id=IDENTIFIER))
    [(_, _, sent)] = bench.pool.sent
    waiting = tuple(Outcome(n, BUSY, "connect") for n in range(2))
    sent.callback(replace(delivery(DONE), outcomes=waiting, put_off=60.0))
    bench.gather()
    assert [(one.attempted, one.recipient.shared) for one in bench.writer.settled] == [(False, False)] * 2
    bench.scheduler.stop()


def test_who_has_a_transaction_of_his_own_is_named_in_every_attempt(bench: Bench) -> None:
    server = Greylisting(bench)
    assert play(bench, server, "joe@example.org")["joe@example.org"] <= 7 * MINUTE
    assert {PATHS.read(sender, 0.0) for sender in server.senders} == {Returned(IDENTIFIER, 0)}
