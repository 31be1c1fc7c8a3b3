"""One worker: builds all parts of reception and delivery around one store, runs them, and ends them in order."""

from __future__ import annotations

import gc
import logging
import os
import random
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session
from twisted.internet import defer, task
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.threads import deferToThread

from postmeter.config import Settings
from postmeter.delivery.lease import HEARTBEAT, LEASE, Lease, Moment
from postmeter.delivery.outcome import Judge
from postmeter.delivery.pool import Pool
from postmeter.delivery.resolver import Resolver, servers
from postmeter.delivery.route import Router
from postmeter.delivery.scheduler import Scheduler
from postmeter.delivery.signing import KeyRing, Signer
from postmeter.delivery.window import Window
from postmeter.errors import ConfigError, UsageError
from postmeter.hooks import Asking, Plugins
from postmeter.message.identifier import IdFactory
from postmeter.server import auth, tls
from postmeter.server.acceptance import Acceptance
from postmeter.server.census import Census
from postmeter.server.listener import listen
from postmeter.server.protocol import Reception
from postmeter.smtp.session import Limits
from postmeter.store import accept as accepting
from postmeter.store import connections, queue, schema
from postmeter.store.engine import Store
from postmeter.store.secrets import Secrets
from postmeter.store.writer import Outcomes, Writer
from postmeter.telling import Teller

log = logging.getLogger(__name__)

DAY = 86_400.0
FIRST_DESCRIPTOR = 3  # inherited listening sockets begin here


@dataclass(frozen=True)
class Sockets:
    """File descriptors of inherited listening sockets."""

    submission: Sequence[int] = field(default_factory=tuple)
    submissions: Sequence[int] = field(default_factory=tuple)


class Worker:
    """Receives on inherited sockets, and delivers; ``reactor`` runs it, threads do what blocks."""

    def __init__(self, settings: Settings, reactor: Any, sockets: Sockets, node: str) -> None:
        self._settings = settings
        self._reactor = reactor
        self._sockets = sockets
        self._store = Store.open(settings.store_url)
        schema.check(self._store)
        self._secrets = Secrets.open(settings.data)
        self._plugins = Plugins.load(settings)
        self._tls = tls.context_factory(settings)
        with self._store.write() as session:
            now = time.time()
            self.number = queue.register(session, node, os.getpid(), now, now + LEASE)
        self._lease = Lease(lambda: Moment(time.monotonic(), time.time()))
        self._writer = Writer(self._store, self._bring_home)
        self._asking = Asking(self._plugins, reactor)
        self._signer = Signer(self._store, KeyRing(self._store, self._secrets), reactor.callFromThread)
        self._pool = Pool(reactor, settings.hostname)
        self._scheduler = self._make_scheduler()
        self._census = Census(settings.smtp)
        self._teller = Teller(self._plugins, self._store, self.number)
        self._ports: list[Any] = []
        self._loops: list[tuple[float, Callable[[], object]]] = [
            (HEARTBEAT, self._beat),
            (HEARTBEAT, self._take_over),
            (5.0, self._refresh_tls),
        ]
        if self._teller.needed:
            self._loops.append((0.5, self._tell))
        self._running: list[task.LoopingCall] = []

    def start(self) -> None:
        """Receive and deliver from now on."""
        self._writer.start()
        self._signer.start()
        self._asking.start()
        reception = self._make_reception()
        for descriptor in self._sockets.submission:
            self._ports.append(listen(self._reactor, descriptor, reception, implicit_tls=False))
        for descriptor in self._sockets.submissions:
            self._ports.append(listen(self._reactor, descriptor, reception, implicit_tls=True))
        self._scheduler.start()
        for interval, function in self._loops:
            loop = task.LoopingCall(function)
            loop.clock = self._reactor
            loop.start(interval, now=False).addErrback(_defect)
            self._running.append(loop)

    @inlineCallbacks
    def stop(self) -> Any:
        """Take nothing new, give what is under way its time, hand back the rest."""
        for port in self._ports:
            yield defer.maybeDeferred(port.stopListening)
        for loop in self._running:
            loop.stop()
        for session in self._census:
            session.shut_down()
        drained = self._scheduler.stop()
        cut = self._reactor.callLater(self._settings.server.drain_timeout, self._cut)
        self._pool.stop().addErrback(_defect)
        yield drained
        cut.cancel() if cut.active() else None
        forgotten: Deferred[None] = Deferred()
        self._writer.submit(_forget, self.number, forgotten.callback)
        yield forgotten
        yield deferToThread(self._end_threads)

    def _cut(self) -> None:
        self._pool.abort()
        self._scheduler.abandon()

    def _end_threads(self) -> None:
        self._signer.stop()
        self._writer.stop()
        self._asking.stop()
        self._store.close()

    # The parts

    def _make_scheduler(self) -> Scheduler:
        settings = self._settings.delivery
        resolver = Resolver(self._reactor, servers(settings.resolver))
        router = Router(
            resolver, settings.routes, random.shuffle, port=settings.port, allow_private=settings.allow_private
        )
        return Scheduler(
            worker=self.number,
            window=Window(settings.window),
            reactor=self._reactor,
            clock=time.time,
            random=random.random,
            submit=self._writer.submit,
            signer=self._signer,
            router=router,
            pool=self._pool,
            judge=Judge(self.number, settings.lifetime_days * DAY),
            asking=self._asking,
            load=lambda account, message: self._read(partial(queue.content, account_id=account, message_id=message)),
            lease_held=lambda: self._lease.held,
        )

    def _make_reception(self) -> Reception:
        smtp = self._settings.smtp
        acceptance = Acceptance(
            hostname=self._settings.hostname,
            keep_list_help=smtp.list_help == "keep",
            change=accepting.Acceptance(self._settings.overdraft.policy),
            submit=self._writer.submit,
            new_id=IdFactory(time.time, os.urandom),
            clock=time.time,
            asking=self._asking,
            delivery=self._scheduler,
        )
        directory = auth.Directory(
            lambda username: self._read(partial(connections.access, username=username)), time.monotonic
        )
        return Reception(
            hostname=self._settings.hostname,
            limits=Limits(max_message_size=smtp.max_message_size, max_recipients=smtp.max_recipients),
            portal=auth.portal(directory, self._secrets.hash_token),
            directory=directory,
            acceptance=acceptance,
            census=self._census,
            tls=self._tls,
            spool_folder=self._settings.data,
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
        self._writer.submit(_beat, (self.number, begun.wall + LEASE), partial(self._beaten, begun))

    def _beaten(self, begun: Moment, still_ours: bool | Exception) -> None:
        if still_ours is False:  # others deliver our recipients already: end at once, before sending more
            log.critical("the leases of this worker were taken over; it ends")
            os._exit(1)
        if still_ours is True:  # an exception confirms nothing
            self._lease.confirm(begun)
            self._scheduler.resume()

    def _take_over(self) -> None:
        if self._lease.steady:
            self._writer.submit(_take_over, time.time(), lambda _: None)

    def _refresh_tls(self) -> None:
        try:
            if self._tls.refresh():
                log.info("the certificate was loaded anew")
        except ConfigError as error:
            log.error("the changed certificate cannot be used, the old one stays: %s", error)

    def _tell(self) -> Deferred[None]:
        return deferToThread(self._teller.tell, time.time()).addErrback(_defect)


def _tell_outcomes(outcomes: Outcomes) -> None:
    for done, result in outcomes:
        try:
            done(result)
        except Exception as error:
            log.error("a committed outcome met a defect", exc_info=error)


def _defect(failure: Any) -> None:
    log.error("a defect: %s", failure.value, exc_info=failure.value)


def _beat(session: Session, beats: Sequence[tuple[int, float]]) -> list[bool]:
    return [queue.heartbeat(session, worker, until) for worker, until in beats]


def _take_over(session: Session, times: Sequence[float]) -> list[int]:
    return [queue.take_over(session, now) for now in times]


def _forget(session: Session, workers: Sequence[int]) -> Sequence[None]:
    for worker in workers:
        queue.forget(session, worker)
    return [None] * len(workers)


def run(settings: Settings, sockets: Sockets, node: str) -> None:
    """The life of a worker process: says ``ready`` on standard output, ends when standard input does, or on SIGTERM."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    allow_many_files()
    worker = Worker(settings, reactor, sockets, node)
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


def allow_many_files() -> None:
    """Let this process open as many files as the system allows it: every session is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def stop_on_signals(reactor: Any) -> None:
    """End on SIGTERM or SIGINT; the same signal once more (terminals and service managers do that) changes nothing."""
    begun = threading.Event()

    def stop() -> None:
        if not begun.is_set():
            begun.set()
            reactor.stop()

    def catch() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: reactor.callFromThread(stop))

    reactor.callWhenRunning(catch)  # after the reactor's own handlers, which complain about a second signal


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


def end_with_parent() -> None:
    """SIGTERM to ourselves when standard input ends: the supervisor is gone, however it went."""

    def wait() -> None:
        while os.read(0, 64):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def node_name(data: Path) -> str:
    """What this machine calls itself among the workers' owners: made once, kept in the data folder."""
    path = data / "node"
    if not path.exists():
        path.write_text(f"{os.urandom(8).hex()}\n")
    return path.read_text().strip()
