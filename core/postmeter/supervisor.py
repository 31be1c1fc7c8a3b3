"""The first process: prepares the data folder, binds the ports, runs and restarts workers and the plugins' services."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from postmeter.bounce_rules import classifier
from postmeter.config import Settings, address, networks
from postmeter.delivery.provider import Providers
from postmeter.delivery.resolver import servers
from postmeter.errors import UnreachableError
from postmeter.hooks import Plugins
from postmeter.hookspecs import Service
from postmeter.process import allow_many_files, node_name, stop_on_signals, use_steady_clock
from postmeter.server import tls
from postmeter.server.board import Board
from postmeter.server.listener import bind, bind_again
from postmeter.service import FIRST_DESCRIPTOR
from postmeter.store import plugin_steps, queue, schema
from postmeter.store.engine import Store
from postmeter.store.secrets import Secrets
from postmeter.telling import Teller
from postmeter.welcome import announce, first_operator

log = logging.getLogger(__name__)

PREDECESSOR_TIMEOUT = 40.0  # seconds to wait for the processes of a killed supervisor to end
LAST_STEPS = 4.0  # seconds a process has after its drain time to end in order; then it is killed
RESTART_AFTER = (0.0, 1.0, 2.0, 5.0, 15.0)  # seconds, growing while a process dies again soon
STEADY = 60.0  # seconds after which a process counts as running well


@dataclass
class Prepared:
    """What is there before any process starts."""

    settings: Settings
    store: Store
    node: str
    plugins: Plugins
    lock: int
    board: int
    services: list[Service] = field(default_factory=list)
    sockets: dict[str, list[list[socket.socket]]] = field(default_factory=dict)  # by address, then by process


def prepare(settings: Settings) -> Prepared:
    """Make what is missing, check what is there, bind all ports; PostmeterError says what is wrong."""
    check_delivery(settings)
    _ = settings.hostname  # ConfigError when there is none that can be said to mail servers
    Secrets.open(settings.data)
    lock = _lock(settings.data / "lock")
    store = Store.open(settings.store_url)
    schema.upgrade(store)
    plugins = Plugins.load(settings)
    plugin_steps.migrate(store, plugins.migrations())
    tls.server_tls(settings)
    networks("smtp.proxies", settings.smtp.proxies)
    node = node_name(settings.data)
    with store.write() as session:
        queue.take_over(session, time.time(), node)
    Teller(plugins, store, worker=0).begin()
    board = Board.create(settings.worker_count)
    prepared = Prepared(settings, store, node, plugins, lock, board, plugins.services(settings))
    for name, addresses in listeners(settings):
        prepared.sockets[name] = [bind(f"smtp.{name}", address, settings.worker_count) for address in addresses]
    return prepared


def listeners(settings: Settings) -> list[tuple[str, tuple[str, ...]]]:
    """The settings that name addresses at which workers listen, in the order of a worker's sockets."""
    smtp = settings.smtp
    return [("submission", smtp.submission), ("submissions", smtp.submissions), ("reports", smtp.reports)]


def check_delivery(settings: Settings) -> None:
    """ConfigError now, instead of one from each worker again and again: what is wrong in the files about delivery."""
    servers(settings.delivery.resolver)
    classifier(settings.delivery)
    Providers.load(settings.providers_file)
    for next_hop in settings.delivery.routes.values():
        address("delivery.routes", next_hop)


def _lock(path: Path) -> int:
    """One relay per data folder; the processes of a killed one are waited for (they hold the lock as well)."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + PREDECESSOR_TIMEOUT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 20, 0).decode().strip()
            if (owner.isdecimal() and os.path.exists(f"/proc/{owner}")) or time.monotonic() > deadline:
                raise UnreachableError(f"Postmeter runs already on {path.parent} (process {owner})") from None
            time.sleep(0.2)
        else:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            return descriptor


class Child(ProcessProtocol):
    """One process of the relay: started, watched until it says ``ready``, started again when it dies.

    A worker has a ``page`` of the board.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        name: str,
        arguments: list[str],
        descriptors: list[int],
        page: int | None = None,
    ) -> None:
        self.name = name
        self.page = page
        self.pid: int | None = None
        self.ready: Deferred[None] = Deferred()
        self._supervisor = supervisor
        self._arguments = arguments
        self.descriptors = descriptors
        self._started = 0.0
        self._deaths = 0

    def start(self) -> None:
        """Run the process with its sockets; standard input ends with us, standard output brings ``ready``.

        When the system gives no process for it, that is one more death.
        """
        self._started = time.monotonic()
        self.ended: Deferred[None] = Deferred()
        descriptors: dict[int, Any] = {0: "w", 1: "r", 2: 2}
        descriptors |= {FIRST_DESCRIPTOR + n: fd for n, fd in enumerate(self.descriptors)}
        command = [sys.executable, "-m", "postmeter", *self._supervisor.options, *self._arguments]
        # Ctrl-C reaches all processes of a terminal; ours are to hear of it from us alone.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._supervisor.reactor.spawnProcess(self, command[0], command, env=os.environ, childFDs=descriptors)
        except OSError as error:
            log.error("%s cannot be started: %s", self.name, error)
            self._start_again(None)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def outReceived(self, data: bytes) -> None:
        """What the process says."""
        if b"ready" in data and not self.ready.called:
            self.ready.callback(None)

    def processEnded(self, reason: Failure) -> None:
        """The process is gone, expected or not."""
        pid, self.pid = self.pid, None
        self.ended.callback(None)
        if not self._supervisor.stopping:
            expected = isinstance(reason.value, ProcessDone)
            log.log(logging.INFO if expected else logging.ERROR, "%s ended: %s", self.name, reason.getErrorMessage())
            self._start_again(pid)

    def _start_again(self, pid: int | None) -> None:
        self._deaths = 1 if time.monotonic() - self._started > STEADY else self._deaths + 1
        self._supervisor.child_died(self, pid, RESTART_AFTER[min(self._deaths, len(RESTART_AFTER)) - 1])

    def makeConnection(self, process: Any) -> None:
        """Started."""
        self.transport = process
        self.pid = process.pid

    def signal(self, name: str) -> None:
        """Send a signal, if the process lives."""
        if self.pid is not None and self.transport is not None:
            with suppress(ProcessExitedAlready):  # its pipes may outlive it
                self.transport.signalProcess(name)


class Supervisor:
    """Runs the relay's processes on a reactor; ``options`` are those that each process is given (the configuration)."""

    def __init__(self, prepared: Prepared, reactor: Any, options: list[str]) -> None:
        self.reactor = reactor
        self.options = options
        self.stopping = False
        self._prepared = prepared
        self._listening: dict[int, list[socket.socket]] = {}  # by page; none while a worker does not come back
        workers = self._workers()
        self._children = workers + self._services()
        self._workers_ready = DeferredList([child.ready for child in workers])

    def start(self) -> Deferred[Any]:
        """Start all processes; fires when each worker takes mail, whatever becomes of the plugins' services."""
        for child in self._children:
            child.start()
        return self._workers_ready

    def stop(self) -> Deferred[Any]:
        """Let all processes finish what they are at, and end those that do not; fires when all are gone."""
        self.stopping = True
        for listening in self._listening.values():  # else new clients would wait in them for nobody
            for sock in listening:
                sock.close()
        alive = [child for child in self._children if child.pid is not None]
        _signal_all(alive, "TERM")
        patience = self._prepared.settings.server.drain_timeout + LAST_STEPS
        kill = self.reactor.callLater(patience, _signal_all, alive, "KILL")
        gone: Deferred[Any] = DeferredList([child.ended for child in alive])
        gone.addCallback(lambda _: kill.cancel() if kill.active() else None)
        return gone

    def child_died(self, child: Child, pid: int | None, wait: float) -> None:
        """Free what the process owned, and start it again."""
        deferToThread(self._take_over, pid, child.page).addErrback(
            lambda failure: log.error("leases could not be taken over: %s", failure.value)
        )
        if wait and child.page is not None:
            for sock in self._listening.pop(child.page, ()):
                sock.close()  # whom the kernel has dealt to it comes to the others, at the next try
        self.reactor.callLater(wait, self._start_again, child)

    def _start_again(self, child: Child) -> None:
        if self.stopping:
            return
        if child.page is not None and child.page not in self._listening:
            try:
                child.descriptors = self._descriptors(child.page, self._bind_again())
            except UnreachableError as error:
                log.error("%s cannot be started: %s", child.name, error)
                self.reactor.callLater(RESTART_AFTER[-1], self._start_again, child)
                return
        child.start()

    def _bind_again(self) -> list[socket.socket]:
        return [bind_again(f"smtp.{name}", text) for name, texts in self._addresses() for text in texts]

    def _addresses(self) -> list[tuple[str, tuple[str, ...]]]:
        return listeners(self._prepared.settings)

    def _descriptors(self, page: int, listening: list[socket.socket]) -> list[int]:
        """What a worker inherits."""
        self._listening[page] = listening
        return [self._prepared.board, *(sock.fileno() for sock in listening), self._prepared.lock]

    def _take_over(self, pid: int | None, page: int | None) -> None:
        if page is not None:
            Board.clear(self._prepared.board, page)  # its sessions are gone
        with self._prepared.store.write() as session:
            queue.take_over(session, time.time(), self._prepared.node, pid or 0)

    def _workers(self) -> list[Child]:
        sockets = self._prepared.sockets
        counts = [f"--{name}={len(texts)}" for name, texts in self._addresses()]
        children = []
        for n in range(self._prepared.settings.worker_count):
            own = [by_worker[n] for name, _ in self._addresses() for by_worker in sockets[name]]
            arguments = ["worker", f"--page={n}", *counts]
            children.append(Child(self, f"worker {n + 1}", arguments, self._descriptors(n, own), page=n))
        return children

    def _services(self) -> list[Child]:
        children = []
        for service in self._prepared.services:
            listening = bind(f"the address of {service.name}", service.address)
            self._prepared.sockets[service.name] = [listening]
            descriptors = [listening[0].fileno(), self._prepared.lock]
            children.append(Child(self, service.name, ["serve", service.name], descriptors))
        return children


def _signal_all(children: list[Child], name: str) -> None:
    for child in children:
        child.signal(name)


def run(settings: Settings, options: list[str], started: Callable[[Prepared, Any], None] | None = None) -> int:
    """``postmeter up``: runs in the foreground until SIGTERM or SIGINT; the exit code.

    ``started`` is called when mail is taken.
    """
    from twisted.internet import reactor as installed

    reactor: Any = installed
    use_steady_clock(reactor)
    allow_many_files()
    prepared = prepare(settings)
    supervisor = Supervisor(prepared, reactor, options)
    reactor.addSystemEventTrigger("before", "shutdown", supervisor.stop)

    exit_code = 0

    async def begin() -> None:
        await supervisor.start()
        if supervisor.stopping:
            return
        operator = await deferToThread(first_operator, prepared.store, settings.hostname)
        said = announce(settings, prepared.services, prepared.plugins.missing, operator)
        print(said, flush=True)  # the password is shown only now, so even when stopping
        if started is not None and not supervisor.stopping:
            started(prepared, reactor)

    def give_up(failure: Failure) -> None:
        nonlocal exit_code
        exit_code = 1
        log.critical("the relay cannot start", exc_info=failure.value)
        if not supervisor.stopping:
            reactor.stop()

    stop_on_signals(reactor)
    reactor.callWhenRunning(lambda: ensureDeferred(begin()).addErrback(give_up))
    reactor.run()
    prepared.store.close()
    return exit_code
