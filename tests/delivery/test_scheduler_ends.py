"""However a message ends, and whenever: each recipient once, and nothing of it is left in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from postmeter.delivery.job import BUSY
from postmeter.delivery.pool import STOPPING
from postmeter.delivery.route import DNS_FAILURE, Host, NoRoute, Route
from postmeter.delivery.signing import NoKey
from postmeter.delivery.source import Sources
from postmeter.delivery.warm_up import WarmUp
from postmeter.smtp.reply import Reply
from postmeter.source import TRANSACTIONAL, Source
from postmeter.store.providers import Suspension
from postmeter.store.warm_up import Level, Warmth
from support.scheduling import DONE, LATER, NEVER, SIGNED, Bench, delivery, leased, route

COLD = "192.0.2.7"
TOO_MANY = Reply(452, "4.5.3", "too many recipients")
GMAIL = Route("g", (Host("gmail-smtp-in.l.google.com", "192.0.2.2", 25),))
KINDS = ("static", "cold", "looked up", "late", "at once", "broken", "nowhere", "suspended", "suppressed", "rerouted")
SILENT = ("a.net", "late.net")  # whose DNS takes its time
ENDS = ("done", "never", "later", "too many", "put off", "defect", "stopping")


def recipients(kinds: list[str], name: str, account: int, lifetime: int) -> Any:
    """Leased recipients of these kinds."""
    domains = {
        "static": "example.org",
        "cold": "gmail.com",
        "nowhere": "no.net",
        "suspended": "yahoo.com",
        "late": "late.net",
        "at once": "b.net",
        "broken": "broken.net",
    }
    one = leased(
        *(f"{n}@{domains.get(kind, 'a.net')}" for n, kind in enumerate(kinds)), message_id=name, account=account
    )
    special = {
        "suspended": {"provider": "Yahoo"},
        "suppressed": {"suppressed": "550 5.7.1 no"},
        "rerouted": {"route": "192.0.2.9:25", "provider": "Yahoo"},
    }
    made = (replace(to, **special.get(kind, {})) for to, kind in zip(one.recipients, kinds, strict=True))
    return replace(one, message=replace(one.message, lifetime=lifetime), recipients=tuple(made))


def used_up(clock: Clock) -> Sources:
    """The only address has sent Google enough today."""
    warm_up = WarmUp(
        lambda _: Deferred(), clock.seconds, [COLD], Warmth(0, {(COLD, "Google"): Level(0, 50)}, frozenset())
    )
    return Sources({TRANSACTIONAL: (Source("out.test", COLD),)}, warm_up, lambda _: True)


class Chance:
    """A scheduler whose surroundings do what is drawn; each recipient's outcome is counted."""

    def __init__(self) -> None:
        self.bench = Bench(window=40, octets=2_000, sources=used_up)
        self.bench.router.known = {"example.org": route("static"), "gmail.com": GMAIL}
        self.bench.router.found = {
            "no.net": NoRoute("dns", DNS_FAILURE),
            "b.net": route("mx"),
            "broken.net": RuntimeError("a defect"),
            **{name: Deferred() for name in SILENT},
        }
        self.bench.signer.answer = None
        self.bench.desk.suspensions.learn([Suspension("Yahoo", "blocked", 0.0, None, "joe")])
        self.bench.scheduler.start()
        self.picked: Counter[str] = Counter()
        self.signed = self.sent = 0

    def pick(self, name: str, kinds: list[str], account: int, lifetime: int, size: int) -> None:
        """A message is leased from the store."""
        one = recipients(kinds, name, account, lifetime)
        self.bench.writer.due.append([replace(one, message=replace(one.message, size=size))])
        self.picked[name] = len(kinds)

    def sign(self, answer: Any) -> None:
        """The signer is done with the next message."""
        if self.signed < len(self.bench.signer.orders):
            self.signed += 1
            self.bench.signer.orders[self.signed - 1].done(answer)

    def end(self, how: str) -> None:
        """The pool is done with the next mail."""
        if self.sent == len(self.bench.pool.sent):
            return
        _, mail, sent = self.bench.pool.sent[self.sent]
        self.sent += 1
        count = len(mail.envelope.recipients)
        if how == "defect":
            sent.errback(ValueError("a defect"))
        elif how == "put off":
            sent.callback(replace(delivery(*[BUSY] * count, stage="connect"), put_off=60.0))
        elif how == "stopping":
            sent.callback(delivery(*[STOPPING] * count, stage="connect"))
        elif how == "too many":
            sent.callback(delivery(LATER, *[TOO_MANY] * (count - 1), stage="rcpt"))
        else:
            reply = {"done": DONE, "never": NEVER, "later": LATER}[how]
            sent.callback(delivery(*[reply] * count, stage="content" if how == "done" else "rcpt"))

    def found(self, domain: str) -> None:
        """The DNS has answered at last."""
        waiting, self.bench.router.found[domain] = self.bench.router.found[domain], route("mx")
        if isinstance(waiting, Deferred):
            waiting.callback(route("mx"))

    def leases(self, held: bool) -> None:
        """They are lost, as far as one knows, or renewed."""
        self.bench.lease_held = held
        if held:
            self.bench.scheduler.resume()

    def finish(self) -> None:
        """Let all come to its end."""
        for domain in SILENT:
            self.found(domain)
        self.leases(True)
        for _ in range(400):
            self.sign(SIGNED)
            self.end("done")
            self.bench.clock.advance(1)

    def check(self, stopped: bool) -> None:
        """Nothing is left, and nobody has two outcomes."""
        bench = self.bench
        assert bench.empty
        assert (bench.window._held, bench.window._octets, bench.window.waiting) == ({}, {}, 0)
        assert (bench.scheduler._turnstile._inside, len(bench.scheduler._turnstile._waiting)) == ({}, 0)
        settled = Counter((one.message.id, one.recipient.n) for one in bench.writer.settled)
        assert max(settled.values(), default=1) == 1
        if not stopped:
            assert Counter(name for name, _ in settled) == self.picked


STEPS: dict[str, st.SearchStrategy[Callable[[Chance], Any]]] = {
    "sign": st.sampled_from([SIGNED, SIGNED, SIGNED, NoKey("no key"), RuntimeError("a defect")]).map(
        lambda answer: lambda chance: chance.sign(answer)
    ),
    "end": st.sampled_from(ENDS[:-1]).map(lambda how: lambda chance: chance.end(how)),
    "leases": st.booleans().map(lambda held: lambda chance: chance.leases(held)),
    "time": st.sampled_from([0.5, 1, 1, 700]).map(lambda by: lambda chance: chance.bench.clock.advance(by)),
    "found": st.sampled_from(SILENT).map(lambda domain: lambda chance: chance.found(domain)),
}
MAILS = st.tuples(
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=6),
    st.integers(1, 3),
    st.sampled_from([0, 0, 600]),
    st.sampled_from([100, 900]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(MAILS, max_size=12), st.lists(st.one_of(*STEPS.values()), max_size=40), st.booleans(), st.booleans())
def test_whatever_happens_each_recipient_ends_once_and_nothing_is_left(
    mails: list[Any], steps: list[Callable[[Chance], Any]], stopped: bool, abandoned: bool
) -> None:
    chance = Chance()
    for n, (kinds, account, lifetime, size) in enumerate(mails):
        chance.pick(str(n), kinds, account, lifetime, size)
    for step in steps:
        step(chance)
    idle: list[None] = []
    if stopped:
        chance.bench.scheduler.stop().addCallback(idle.append)
        if abandoned:
            chance.bench.scheduler.abandon()
    chance.finish()
    chance.check(stopped)
    assert idle == [None] * stopped
    if not stopped:
        chance.bench.scheduler.stop()


def test_who_was_given_back_at_the_end_is_not_counted_again_when_its_way_is_found() -> None:
    bench = Bench()
    looked_up: Deferred[Route | NoRoute] = Deferred()
    bench.router.known, bench.router.found = {"example.org": route("static")}, {"slow.net": looked_up}
    bench.take(leased("1@example.org", "2@slow.net"))
    idle: list[None] = []
    bench.scheduler.stop().addCallback(idle.append)
    bench.writer.held = []
    bench.pool.sent[0][2].callback(delivery(DONE))
    bench.scheduler.abandon()
    bench.lease_held = False
    looked_up.callback(route("mx"))
    assert idle == []  # the outcome of the first one is still to be committed
    bench.gather()
    for commit in bench.writer.held:
        commit()
    assert idle == [None]
    assert bench.empty


def test_a_way_that_cannot_be_read_is_a_failure_like_others() -> None:
    bench = Bench()
    one = leased("joe@example.org")
    bench.take(replace(one, recipients=(replace(one.recipients[0], route="nowhere"),)))
    assert bench.gather() == {("one", 0): "deferred"}
    assert bench.empty
