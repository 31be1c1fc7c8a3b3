"""One worker: builds all parts of reception and delivery around one store, runs them, and ends them in order."""

from __future__ import annotations

import gc
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy.orm import Session
from twisted.internet import defer, task
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.threads import deferToThread

from postmeter.asking import Asking, News
from postmeter.bounce_rules import classifier
from postmeter.config import Settings
from postmeter.delivery import domain_watch, outbound, session_watch
from postmeter.delivery.desk import Desk
from postmeter.delivery.guarding import EVERY, Guarding
from postmeter.delivery.late_watch import LATE_EVERY, LateWatch
from postmeter.delivery.lease import HEARTBEAT, LEASE, Lease, Moment
from postmeter.delivery.outcome import Judge
from postmeter.delivery.provider import Providers
from postmeter.delivery.resolver import Resolver, servers
from postmeter.delivery.retry import draw
from postmeter.delivery.scheduler import Scheduler
from postmeter.delivery.signing import KeyRing, Signer
from postmeter.delivery.sourcing import Sourcing
from postmeter.delivery.transport_security import TransportSecurity
from postmeter.delivery.window import Window
from postmeter.errors import UsageError
from postmeter.hooks import Plugins
from postmeter.process import OpenFiles, allow_many_files, end_with_parent, stop_on_signals, use_steady_clock
from postmeter.rounds import Round, Rounds, defect, steadily
from postmeter.server import reception, tls
from postmeter.server.board import Board
from postmeter.server.census import Census
from postmeter.server.disk import DiskWatch
from postmeter.server.listener import serve as serve_clients
from postmeter.store import pauses, providers, queue, renewal, returning, schema, troubles
from postmeter.store.delays import Delays
from postmeter.store.engine import Store
from postmeter.store.notifications import Notifier, Settling
from postmeter.store.orders import CarryingOut
from postmeter.store.pauses import Stopped
from postmeter.store.providers import Suspension
from postmeter.store.secrets import Secrets
from postmeter.store.tidying import Tidying
from postmeter.store.troubles import Trouble
from postmeter.store.writer import Outcomes, Writer
from postmeter.telling import Teller

log = logging.getLogger(__name__)

FIRST_DESCRIPTOR = 3  # what a process inherits begins here
CERTIFICATES_EVERY = 5.0  # seconds between two looks at their files
ROOM_EVERY = 5.0
TIDY_EVERY = 10.0
BLOCKS_EVERY = 1.0
DOMAINS_EVERY = 60.0
DESK_EVERY = 1.0
TLS_EVERY = 60.0
LOOK_AGAIN = 0.1  # seconds between two looks at the messages that still come in when the relay ends


@dataclass(frozen=True)
class Inherited:
    """What a worker has from the supervisor: file descriptors of listening sockets, and its page of the board."""

    board: Board
    submission: Sequence[int] = field(default_factory=tuple)
    submissions: Sequence[int] = field(default_factory=tuple)
    reports: Sequence[int] = field(default_factory=tuple)


class Worker:
    """Receives on inherited sockets, and delivers; ``reactor`` runs it, threads do what blocks."""

    def __init__(self, settings: Settings, reactor: Any, inherited: Inherited, node: str) -> None:
        self._settings = settings
        self._reactor = reactor
        self._inherited = inherited
        self._store = Store.open(settings.store_url)
        schema.check(self._store)
        self._secrets = Secrets.open(settings.data)
        self._plugins = Plugins.load(settings)
        self._plugins.attach(settings, self._store, self._secrets)
        self._tls = tls.server_tls(settings, inherited.board.secret, time.time)
        self._disk, self._files = DiskWatch(settings.data, settings.server), OpenFiles()
        self.number, suspended, stopped = self._register(node)
        self._lease = Lease(lambda: Moment(time.monotonic(), time.time()))
        self._writer = Writer(self._store, self._bring_home)
        self._tidying = Tidying()
        self._asking = Asking(self._plugins, reactor, self._note)
        self._sourcing = Sourcing.of(settings.delivery, self._store, self._read, time.time)
        ring = KeyRing(self._store, self._secrets, returning.domains(settings, self._secrets))
        self._signer = Signer(self._store, ring, reactor.callFromThread, self._sourcing.names)
        resolver = Resolver(reactor, servers(settings.delivery.resolver))
        known = Providers.load(settings.providers_file)
        threads = (self._store, self._read, self._writer.submit, reactor.callFromThread)
        self._security = TransportSecurity(settings, self.number, resolver, known, *threads)
        self._classifier = classifier(settings.delivery)
        self._notifier = Notifier.of(settings)
        further = *self._sourcing.report, CarryingOut(self._notifier), stopped
        self._desk = Desk(self._read, self._writer.submit, time.time, suspended, *further)
        shaper = outbound.shaper(settings, reactor, known, self._desk)
        self._sessions = session_watch.SessionWatch(self._read, self._writer.submit, self.number, shaper)
        parts = known, self._security, shaper, self._sourcing, self._is_lease_held, self._classifier.classify
        self._ways = outbound.ways(settings, reactor, resolver, *parts)
        self._late = LateWatch(Delays(self._notifier), self._writer.submit, time.time)
        self._scheduler = self._make_scheduler()
        self._census = Census(settings.smtp, inherited.board)
        self._teller = Teller(self._plugins, self._store, self.number)
        self._domains = domain_watch.build(settings, resolver, self._secrets, self._read, self._writer.submit)
        self._guarding = Guarding(self._read, self._writer.submit, time.time, self.number, settings.guard)
        self._ports: list[Any] = []
        self._rounds = Rounds(reactor)

    def _register(self, node: str) -> tuple[int, list[Suspension], list[Stopped]]:
        now = time.time()
        with self._store.write() as session:
            number = queue.register(session, node, os.getpid(), now, now + LEASE)
            return number, providers.suspensions(session, now), pauses.stopped(session)

    def _loops(self) -> list[Round]:
        """What is done again and again, and after how many seconds each."""
        return [
            (HEARTBEAT, self._beat),
            (HEARTBEAT, self._take_over),
            (CERTIFICATES_EVERY, self._refresh_tls),
            (ROOM_EVERY, self._look_at_room),
            (TIDY_EVERY, self._tidy),
            (BLOCKS_EVERY, self._look_after_blocks),
            (DOMAINS_EVERY, self._look_at_domains),
            (DESK_EVERY, self._follow_operator),
            (session_watch.EVERY, self._sessions.look),
            *self._sourcing.loops,
            (TLS_EVERY, self._security.look),
            (EVERY, self._guarding.look),
            (LATE_EVERY, self._late.look),
            *([(0.5, self._tell)] if self._teller.needed else []),
        ]

    def start(self) -> None:
        """Receive and deliver from now on."""
        self._writer.start()
        self._signer.start()
        self._asking.start()
        self._listen()
        self._scheduler.start()
        self._rounds.start(self._loops())

    def _listen(self) -> None:
        for way, make in reception.ways_in(self._settings, self._reception_parts()).items():
            for descriptor in getattr(self._inherited, way):
                self._ports.append(serve_clients(self._reactor, descriptor, make))
                os.close(descriptor)  # the port has one of its own, and its end must be the end

    @inlineCallbacks
    def stop(self) -> Any:
        """Take nothing new, give what is under way its time, hand back the rest."""
        for port in self._ports:
            yield defer.maybeDeferred(port.stopListening)
        self._rounds.stop()
        for session in self._census:
            steadily(session.shut_down)
        drained = defer.gatherResults([self._scheduler.stop(), defer.ensureDeferred(self._last_messages())])
        cut = self._reactor.callLater(self._settings.server.drain_timeout, self._cut)
        self._ways.pool.stop().addErrback(defect)
        yield drained
        cut.cancel() if cut.active() else None
        self._desk.report()
        self._security.hand_over()
        forgotten: Deferred[None] = Deferred()
        self._writer.submit(queue.forget_all, self.number, forgotten.callback)
        yield forgotten
        yield deferToThread(self._end_threads)

    async def _last_messages(self) -> None:
        """Until nobody is sending one."""
        while any(session.under_way for session in self._census):
            await task.deferLater(self._reactor, LOOK_AGAIN)

    def _cut(self) -> None:
        for session in self._census:
            steadily(session.cut)
        self._ways.pool.abort()
        self._scheduler.abandon()

    def _end_threads(self) -> None:
        self._signer.stop()
        self._writer.stop()
        self._asking.stop()
        self._teller.stop()
        self._store.close()

    # The parts

    def _make_scheduler(self) -> Scheduler:
        settings = self._settings.delivery
        return Scheduler(
            worker=self.number,
            window=Window(settings.window),
            reactor=self._reactor,
            clock=time.time,
            draw=draw,
            submit=self._writer.submit,
            signer=self._signer,
            ways=self._ways,
            judge=Judge(self.number, self._notifier.lifetime, self._classifier.classify),
            asking=self._asking,
            load=lambda account, message: self._read(partial(queue.content, account_id=account, message_id=message)),
            lease_held=self._is_lease_held,
            desk=self._desk,
            settling=Settling(self._notifier),
        )

    def _reception_parts(self) -> reception.Parts:
        return reception.Parts(
            board=self._inherited.board,
            census=self._census,
            disk=self._disk,
            tls=self._tls,
            secrets=self._secrets,
            read=self._read,
            submit=self._writer.submit,
            asking=self._asking,
            delivery=self._scheduler,
            null_mx=self._ways.router.refuses_mail,
            classify=self._classifier.classify,
            reactor=self._reactor,
        )

    # Threads

    def _bring_home(self, outcomes: Outcomes) -> None:
        """From the writer's thread: tell all outcomes of a commit in one turn of the reactor."""
        self._reactor.callFromThread(_tell_outcomes, outcomes)

    def _read(self, function: Callable[[Session], Any]) -> Deferred[Any]:
        def read() -> Any:
            with self._store.read() as session:
                return function(session)

        return deferToThread(read)

    # What is done again and again

    def _beat(self) -> None:
        begun = self._lease.now()
        self._writer.submit(queue.heartbeats, (self.number, begun.wall + LEASE), partial(self._beaten, begun))

    def _beaten(self, begun: Moment, still_ours: bool | Exception) -> None:
        if still_ours is False:  # others deliver our recipients already: end at once, before sending more
            log.critical("the leases of this worker were taken over; it ends")
            os._exit(1)
        if still_ours is True:  # an exception confirms nothing
            self._lease.confirm(begun)
            self._scheduler.resume()

    def _is_lease_held(self) -> bool:
        return self._lease.held

    def _take_over(self) -> None:
        if self._lease.steady:
            self._writer.submit(queue.take_overs, time.time(), lambda _: None)

    def _refresh_tls(self) -> None:
        self._tls.refresh()

    def _look_at_room(self) -> Deferred[None]:
        def look() -> None:
            self._disk.look()
            self._files.look()

        return deferToThread(look).addErrback(defect)

    def _tidy(self) -> None:
        self._writer.submit(self._tidying, time.time(), lambda _: None)

    def _look_after_blocks(self) -> None:
        self._writer.submit(renewal.look_after, time.time(), lambda _: None)

    def _look_at_domains(self) -> Deferred[None]:
        return defer.ensureDeferred(self._domains.look()).addErrback(defect)

    def _follow_operator(self) -> Deferred[None]:
        return defer.ensureDeferred(self._desk.follow()).addErrback(defect)

    def _tell(self) -> Deferred[None]:
        return deferToThread(self._teller.tell).addErrback(defect)

    def _note(self, news: News) -> None:
        trouble = Trouble(news.plugin, news.hook, self.number, news.why, time.time())
        self._writer.submit(troubles.note, trouble, lambda _: None)


def _tell_outcomes(outcomes: Outcomes) -> None:
    for done, result in outcomes:
        try:
            done(result)
        except Exception as error:
            log.error("a committed outcome met a defect", exc_info=error)


def run(settings: Settings, inherited: Inherited, node: str) -> None:
    """The life of a worker process: says ``ready`` on standard output, ends when standard input does, or on SIGTERM."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    use_steady_clock(reactor)
    allow_many_files()
    worker = Worker(settings, reactor, inherited, node)
    reactor.callWhenRunning(begin, worker, reactor)
    end_with_parent()
    stop_on_signals(reactor)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    reactor.run()
    sys.exit(0)


def begin(worker: Worker, reactor: Any) -> None:
    """Start the worker and say so; the process ends with exit code 1 when that fails."""
    try:
        worker.start()
    except Exception as error:
        log.critical("this worker cannot start", exc_info=error)
        os._exit(1)  # what has been started of it is in no state to be stopped in order
    reactor.addSystemEventTrigger("before", "shutdown", worker.stop)
    print("ready", flush=True)


def serve(settings: Settings, name: str, descriptor: int) -> None:
    """The life of a process that a plugin offers (``Service.run``), on an inherited listening socket."""
    for offered in Plugins.load(settings).services(settings):
        if offered.name == name:
            allow_many_files()
            end_with_parent()
            print("ready", flush=True)
            offered.run(settings, descriptor)
            return
    raise UsageError(f"no plugin offers a service {name!r}")
