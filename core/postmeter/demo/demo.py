"""`postmeter demo`: runs the relay as `up` does, on a temporary folder between a sample shop and a recipient side."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread

from postmeter import logs, supervisor
from postmeter.config import Settings, load
from postmeter.demo.customer import DOMAIN, Customer, furnish
from postmeter.demo.recipient_side import RecipientSide, server_side_tls
from postmeter.demo.samples import samples
from postmeter.demo.shop import Shop
from postmeter.server import tls
from postmeter.store import statistics
from postmeter.store.engine import Store
from postmeter.store.statistics import Totals

INTERVAL = 1.0  # seconds between two looks at the statistics

CONFIG = """\
[server]
hostname = "mail.demo.example"
data = {data}
workers = 2
[smtp]
submission = ["127.0.0.1:{submission}"]
submissions = ["127.0.0.1:{submissions}"]
[delivery]
routes = {{ "*" = "127.0.0.1:{recipient_side}" }}
[web]
listen = "127.0.0.1:{web}"
"""

PLACES = """
Panel           http://{settings.web.listen}/
  log in as     {customer.owner}
  password      {customer.password}

Hand in mail    {access.host} port {access.port} (STARTTLS) or {implicit} (implicit TLS)
  user name     {access.username}
  password      {access.password}
  From          any address at {domain}
  certificate   {access.certificate}

Mail goes to    127.0.0.1:{recipient_side}, a recipient side that is built in, whatever the recipient's domain is:
                nothing leaves this machine. It refuses nobody...@ and unknown...@ (the relay takes no more mail
                to them then) and lets greylisted...@ come back later. Ctrl-C ends the demo and removes {folder}.
"""


def run(mails: int | None = None, leave: bool = False) -> int:
    """Run until SIGTERM or Ctrl-C; the exit code.

    The shop sends ``mails`` mails (None: no end); with ``leave`` the demo ends when each of them was tried.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until the reactor handles both
    for variable in [name for name in os.environ if name.startswith("POSTMETER_")]:
        del os.environ[variable]  # they are about the real relay, and the workers would heed them
    logs.set_up("demo", logging.WARNING)
    try:
        with TemporaryDirectory(prefix="postmeter-demo-") as folder:
            return _run(Path(folder), mails, leave)
    except KeyboardInterrupt:
        return 0


def _run(folder: Path, mails: int | None, leave: bool) -> int:
    from twisted.internet import reactor as installed

    reactor: Any = installed
    side = RecipientSide()
    port = side.listen(reactor).getHost().port
    config = folder / "postmeter.toml"
    submission, submissions, web = free_ports(3)
    data = json.dumps(str(folder / "data"))
    config.write_text(
        CONFIG.format(data=data, submission=submission, submissions=submissions, recipient_side=port, web=web)
    )
    settings = load(config, {})
    customer = furnish(settings)
    side.tls = server_side_tls(tls.files(settings))
    shop = Shop(customer.access, islice(samples(DOMAIN, time.time), mails))
    told = places(settings, customer, port, submissions, folder)
    return supervisor.run(settings, ["--config", str(config)], partial(_begin, told, shop, customer.account_id, leave))


def _begin(told: str, shop: Shop, account_id: int, leave: bool, prepared: supervisor.Prepared, reactor: Any) -> None:
    """The relay takes mail: say where to look, let the shop send, and show the figures until the end."""
    print(told, flush=True)
    progress = Progress(prepared.store, account_id, shop, reactor.stop if leave else lambda: None)
    reactor.addSystemEventTrigger("before", "shutdown", shop.stop)
    reactor.addSystemEventTrigger("before", "shutdown", progress.stop)
    shop.start()
    progress.start()


def places(settings: Settings, customer: Customer, recipient_side: int, submissions: int, folder: Path) -> str:
    """Where to look and what to log in with."""
    return PLACES.format(
        settings=settings,
        customer=customer,
        access=customer.access,
        implicit=submissions,
        domain=DOMAIN,
        recipient_side=recipient_side,
        folder=folder,
    )


def free_ports(number: int) -> list[int]:
    """Ports of the loopback that nobody uses at the moment."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [probe.getsockname()[1] for probe in probes]


class Display:
    """Shows a changing line: in place on a terminal, else one line after the other."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._in_place = stream.isatty()
        self._shown = ""

    def show(self, text: str) -> None:
        """Show this now."""
        if text != self._shown:
            print(f"\r{text}\x1b[K" if self._in_place else text, end="" if self._in_place else "\n", file=self._stream)
            self._stream.flush()
        self._shown = text

    def close(self) -> None:
        """Leave the terminal at the beginning of a line."""
        if self._in_place and self._shown:
            print(file=self._stream, flush=True)


class Progress:
    """Shows the account's statistics; ``settled`` is called once the shop is finished and each recipient was tried."""

    def __init__(self, store: Store, account_id: int, shop: Shop, settled: Callable[[], object]) -> None:
        self._store = store
        self._account_id = account_id
        self._shop = shop
        self._settled = settled
        self._display = Display(sys.stdout)
        self._loop = LoopingCall(self._look)

    def start(self) -> None:
        """Look at once, and again every second."""
        self._loop.start(INTERVAL)

    def stop(self) -> None:
        """Look no more."""
        if self._loop.running:
            self._loop.stop()
        self._display.close()

    async def _look(self) -> None:
        finished = self._shop.finished  # asked first: what the shop sent is in the figures then
        totals = await deferToThread(self._totals)
        if not self._loop.running:
            return
        self._display.show(line(totals))
        if finished and totals.queued == totals.deferred:
            self._settled()

    def _totals(self) -> Totals:
        with self._store.read() as session:
            return statistics.totals(session, self._account_id)


def line(totals: Totals) -> str:
    """The figures, in recipients; the deferred ones are among the queued."""
    deferred = f" (deferred {totals.deferred})" if totals.deferred else ""
    return (
        f"arrived {totals.arrived}  delivered {totals.delivered}  bounced {totals.bounced}"
        f"  queued {totals.queued}{deferred}"
    )
