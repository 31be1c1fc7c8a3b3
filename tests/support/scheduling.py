"""A scheduler between fakes: a signer, a router, a pool and a writer that answer when the test says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from postmeter.asking import Asking
from postmeter.committing import Submit
from postmeter.delivery.attempt import Delivery, Facts, Talk
from postmeter.delivery.desk import Desk
from postmeter.delivery.dispatch import Ways
from postmeter.delivery.fair_queue import Turn
from postmeter.delivery.outcome import Judge
from postmeter.delivery.pool import Pool
from postmeter.delivery.provider import Providers
from postmeter.delivery.route import Host, NoRoute, Route, Router
from postmeter.delivery.scheduler import Scheduler
from postmeter.delivery.securing import Securing
from postmeter.delivery.settling import GATHER
from postmeter.delivery.signing import Order, Signed, Signer
from postmeter.delivery.source import Sources
from postmeter.delivery.window import Window
from postmeter.hooks import Plugins, new_manager
from postmeter.message.envelope import Envelope, Recipient
from postmeter.smtp.mail import Mail, Outcome, Stage
from postmeter.smtp.reply import Reply
from postmeter.source import Source
from postmeter.store.picking import Load, Pick
from postmeter.store.queue import Leased, QueuedMessage, QueuedRecipient
from postmeter.store.settle import Settlement, settle
from postmeter.store.writer import Change

DONE, LATER, NEVER = Reply(250, "2.0.0", "Ok"), Reply(451, "4.3.0", "later"), Reply(550, "5.1.1", "no such user")
CONTENT = b"From: a@shop.example\r\n\r\nHello\r\n"
SIGNED = Signed((b"DKIM-Signature: x\r\n", b"", CONTENT), False, False)


def leased(
    *paths: str,
    message_id: str = "one",
    size: int = 100,
    first: int = 0,
    account: int = 1,
    priority: int = 1,
    **envelope: Any,
) -> Leased:
    """Leased recipients of a message, numbered from ``first``."""
    mail = Envelope("a@shop.example", (), **envelope)
    message = QueuedMessage(message_id, account, 2, "shop.example", mail, 0.0, size, priority=priority)
    recipients = [
        QueuedRecipient(n, Recipient(path), 0, None, "reserved")
        for n, path in enumerate(paths or ("joe@example.org",), first)
    ]
    return Leased(message, tuple(recipients))


def delivery(*replies: Reply, stage: Stage = "content", in_doubt: bool = False) -> Delivery:
    """An outcome for each recipient."""
    outcomes = tuple(Outcome(n, r, stage, r.positive, in_doubt and not r.positive) for n, r in enumerate(replies))
    return Delivery(outcomes, Facts("mx.test", "192.0.2.1", 25), Talk(1.0, 3.5))


class FakeSigner:
    """Keeps orders; ``answers``: what each gets at once, None: the test answers."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.answer: Signed | Exception | None = SIGNED

    def sign(self, order: Order) -> None:
        """See ``Signer``."""
        self.orders.append(order)
        if self.answer is not None:
            order.done(self.answer)


class FakeRouter:
    """Static routes by domain, others by look-up."""

    def __init__(self) -> None:
        self.known: dict[str, Route] = {}
        self.found: dict[str, Route | NoRoute | Exception | Deferred[Route | NoRoute]] = {}
        self.asked: list[tuple[str, float]] = []
        self.turns: list[Turn] = []

    def static(self, domain: str) -> Route | None:
        """See ``Router``."""
        return self.known.get(domain)

    async def route(self, domain: str, *, unknown_for: float = 0.0, turn: Turn) -> Route | NoRoute:
        """See ``Router``."""
        self.turns.append(turn)
        self.asked.append((domain, unknown_for))
        answer = self.found[domain]
        if isinstance(answer, Exception):
            raise answer
        return await _also(answer) if isinstance(answer, Deferred) else answer


def _also(awaited: Deferred[Route | NoRoute]) -> Deferred[Route | NoRoute]:
    """Fires when the other one does, which many may wait for."""
    mine: Deferred[Route | NoRoute] = Deferred()

    def pass_on(result: Any) -> Any:
        mine.callback(result)
        return result

    awaited.addBoth(pass_on)
    return mine


class FakePool:
    """Keeps what it is to send."""

    def __init__(self) -> None:
        self.sent: list[tuple[Route, Mail, Deferred[Delivery]]] = []
        self.sources: list[Source | None] = []
        self.within: list[float] = []
        self.refuse: Exception | None = None
        self.given_back: list[int] = []

    def deliver(
        self, route: Route, mail: Mail, turn: Turn, source: Source | None = None, *, within: float
    ) -> Deferred[Delivery]:
        """See ``Pool``."""
        if self.refuse is not None:
            raise self.refuse
        self.sources.append(source)
        self.within.append(within)
        self.sent.append((route, mail, Deferred()))
        return self.sent[-1][2]

    def resume(self) -> None:
        """See ``Pool``."""

    def put_off(self, accounts: Iterable[int]) -> None:
        """See ``Pool``."""
        self.given_back += accounts

    def paths(self) -> dict[str, list[list[str]]]:
        """Who is sent to, by the route's key."""
        told: dict[str, list[list[str]]] = {}
        for route, mail, _ in self.sent:
            told.setdefault(route.key, []).append([to.forward_path for to in mail.envelope.recipients])
        return told


class FakeWriter:
    """Keeps settlements; picks give what is in ``due``, and ``failing`` is what commits fail with."""

    def __init__(self) -> None:
        self.settled: list[Settlement] = []
        self.due: list[list[Leased]] = []
        self.picks: list[Any] = []
        self.failing: Exception | None = None
        self.held: list[Callable[[], None]] | None = None  # a list: commits wait in it

    def submit(self, change: Any, item: Any, done: Callable[[Any], None]) -> None:
        """See ``Writer``."""
        if self.held is not None:
            self.held.append(lambda: self._commit(change, item, done))
        else:
            self._commit(change, item, done)

    def _commit(self, change: Any, item: Any, done: Callable[[Any], None]) -> None:
        if self.failing is not None:
            done(self.failing)
        elif change is settle:
            self.settled.append(item)
            done(True)
        else:
            self.picks.append(item)
            due = tuple(self.due.pop(0)) if self.due else ()
            done(Pick(due, left=bool(self.due), more=bool(self.due)))


def route(key: str) -> Route:
    """A route by its key."""
    return Route(key, (Host("mx.test", "192.0.2.1", 25),))


class Bench:
    """The scheduler and everything around it; ``plugins`` are registered.

    ``router`` and ``submit`` stand in for the fakes.
    """

    def __init__(
        self,
        window: int = 1000,
        octets: int = 1 << 20,
        plugins: tuple[object, ...] = (),
        sources: Callable[[Clock], Sources] | None = None,
        draw: Callable[[str, int], float] = lambda *_: 0.5,
        router: Router | None = None,
        submit: Submit | None = None,
        worker: int = 9,
        settling: Change[Settlement, bool] = settle,
    ) -> None:
        self.clock = Clock()
        self.signer, self.router, self.pool, self.writer = FakeSigner(), FakeRouter(), FakePool(), FakeWriter()
        submit = submit or self.writer.submit
        self.window = Window(window, octets)
        self.loaded: list[tuple[int, str]] = []
        self.lease_held = True
        manager = new_manager()
        for plugin in plugins:
            manager.register(plugin)
        self.asking = Asking(Plugins(manager), reactor)
        self.desk = Desk(lambda _: succeed([]), submit, self.clock.seconds, ())
        self.scheduler = Scheduler(
            worker=worker,
            window=self.window,
            reactor=self.clock,
            clock=self.clock.seconds,
            draw=draw,
            submit=submit,
            signer=cast(Signer, self.signer),
            ways=Ways(
                router or cast(Router, self.router),
                Securing(),
                cast(Pool, self.pool),
                Providers(),
                sources(self.clock) if sources else None,
            ),
            judge=Judge(worker, 86_400.0),
            asking=self.asking,
            load=self._load,
            lease_held=lambda: self.lease_held,
            desk=self.desk,
            settling=settling,
        )

    def _load(self, account: int, message: str) -> Deferred[bytes]:
        self.loaded.append((account, message))
        return succeed(CONTENT)

    def take(self, one: Leased, content: bytes | None = CONTENT) -> None:
        """Hand it over as acceptance does."""
        load = Load.of(one)
        assert self.scheduler.reserve(load)
        self.scheduler.take(one, content, load)

    def gather(self) -> dict[tuple[str, int], str]:
        """Let what is known be committed; the states by message and recipient."""
        self.clock.advance(GATHER)
        return {(s.message.id, s.recipient.n): s.state for s in self.writer.settled}

    @property
    def empty(self) -> bool:
        """Nothing is left of anything that was under way."""
        return (len(self.scheduler._parcels), self.window.recipients, self.window.octets) == (0, 0, 0)
