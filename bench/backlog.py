"""What a long queue costs: how soon delivery begins, how long a pick takes, memory, and the delay of others' mail.

python bench/backlog.py                                          1,000,000 wait at 50,000 domains, 600,000 of them for a
                                                                 provider that answers nobody
python bench/backlog.py -n 100000 -a 1 --dead 0 --due 1          one account has 100,000 to send at once
python bench/backlog.py --url postgresql+psycopg://user@host/db  an empty database instead of SQLite
"""

from __future__ import annotations

import argparse
import json
import socketserver
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import backlog_store
import processes
from backlog_store import DEAD, Shape

from postmeter.store.engine import Store
from postmeter.testing.running import Relay, Shop
from postmeter.testing.waiting import wait_until

PICKS, PICK = 100, 100  # picks that are timed, and recipients in each
PATIENCE = 300.0  # seconds
SAMPLE = 0.5  # seconds between two looks at the memory


class Sink(socketserver.ThreadingTCPServer):
    """Takes all mail and notes when the first one to each address came; ``silent``: takes calls and says nothing."""

    allow_reuse_address = daemon_threads = True
    request_queue_size = 512
    block_on_close = False

    def __init__(self, silent: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Silent if silent else _Session)
        self.address = f"127.0.0.1:{self.server_address[1]}"
        self.arrived: dict[str, float] = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Silent(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        with suppress(ConnectionResetError):
            self.rfile.read()


class _Session(socketserver.StreamRequestHandler):
    server: Sink
    disable_nagle_algorithm = True

    def handle(self) -> None:
        self._say("220 sink.example ESMTP")
        paths: list[str] = []
        for line in self.rfile:
            verb = line[:4].upper()
            if verb == b"EHLO":
                self._say("250-sink.example\r\n250-8BITMIME\r\n250 PIPELINING")
            elif verb == b"DATA":
                self._say("354 Go on")
                while (part := self.rfile.readline()) and part != b".\r\n":
                    pass
                now = time.monotonic()
                for path in paths:
                    self.server.arrived.setdefault(path, now)
                paths = []
                self._say("250 Ok")
            elif verb == b"QUIT":
                self._say("221 Bye")
                return
            else:
                if verb == b"RCPT":
                    paths.append(line.partition(b"<")[2].partition(b">")[0].decode())
                self._say("250 Ok")

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")


@contextmanager
def watched(relay: Relay) -> Iterator[list[float]]:
    """The memory (RSS in MiB) of the largest process of the relay, seen again and again meanwhile."""
    seen: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLE):
            seen.append(processes.largest([relay.pid]))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def delays(sink: Sink, number: int, hand_over: Callable[[str], object]) -> list[float]:
    """Seconds from the beginning of the hand-over to the arrival, for so many single mails, one after the other."""
    found = []
    for n in range(number):
        path = f"single{len(sink.arrived)}x{n}@d1.example"
        begun = time.monotonic()
        hand_over(path)
        wait_until(lambda path=path: path in sink.arrived, PATIENCE, path)
        found.append(sink.arrived[path] - begun)
    return found


def measure(folder: Path, url: str, shape: Shape, mails: int) -> dict[str, object]:
    """Fill a store, time picks in it, then start the relay on it and see what becomes of others' mail."""
    sink, silent = Sink(), Sink(silent=True)
    routes = f'routes = {{ "*" = "{sink.address}", "{DEAD}" = "{silent.address}" }}\nallow_private = true'
    relay = Relay(folder, "", settings={"delivery": routes, "store": f'url = "{url}"'})
    relay.start()
    shop = Shop(relay, relay.set_up())
    relay.stop()
    store = Store.open(url or f"sqlite:///{relay.database}")
    try:
        begun = time.monotonic()
        *customers, other = backlog_store.make_customers(store, relay.data, shape.accounts + 1)
        backlog_store.fill(store, customers, shape)
        filled = time.monotonic() - begun
        picks = backlog_store.picks(store, PICKS, PICK)

        def store_one(path: str) -> None:
            backlog_store.add(store, [backlog_store.untried(other, path)])

        told = _run(relay, sink, {"single_from_store_s": store_one, "single_handed_over_s": shop.send}, mails)
        return {"fill_s": round(filled, 1), "pick_ms": _spread(picks), **told}
    finally:
        relay.kill()
        store.close()


def _run(relay: Relay, sink: Sink, ways: dict[str, Callable[[str], object]], mails: int) -> dict[str, object]:
    begun = time.monotonic()
    relay.launch()
    with watched(relay) as memory:
        wait_until(lambda: sink.arrived, PATIENCE, "the first delivery")
        first = min(sink.arrived.values()) - begun
        wait_until(lambda: relay.ready, PATIENCE, "ready")
        singles = {name: _spread(delays(sink, mails, way)) for name, way in ways.items()}
    times = list(sink.arrived.values())
    begun = time.monotonic()
    relay.stop()
    return {
        "start_to_first_delivery_s": round(first, 2),
        **singles,
        "delivered_per_s": round(len(times) / (max(times) - min(times))),
        "rss_mib_of_largest_process": round(max(memory)),
        "stop_s": round(time.monotonic() - begun, 1),
    }


def _spread(values: list[float]) -> dict[str, float]:
    twentieths = statistics.quantiles(values, n=20, method="inclusive")
    return {"p50": round(twentieths[9], 2), "p95": round(twentieths[18], 2), "most": round(max(values), 2)}


def main() -> None:
    """The command line; prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", dest="recipients", type=int, default=1_000_000, help="that wait (%(default)s)")
    parser.add_argument("-d", dest="domains", type=int, default=50_000, help="of theirs (%(default)s)")
    parser.add_argument("-a", dest="accounts", type=int, default=20, help="whose mail waits (%(default)s)")
    parser.add_argument("--dead", type=float, default=0.6, help="share at the silent provider (%(default)s)")
    parser.add_argument("--due", type=float, default=0.25, help="share that is due already (%(default)s)")
    parser.add_argument("-m", dest="mails", type=int, default=20, help="single mails of another account (%(default)s)")
    parser.add_argument("--url", default="", help="the database (SQLite in a temporary folder)")
    options = vars(parser.parse_args())
    mails, url = options.pop("mails"), options.pop("url")
    shape = Shape(**options)
    with tempfile.TemporaryDirectory() as folder:
        told: dict[str, Any] = measure(Path(folder), url, shape, mails)
    print(json.dumps({"database": url.partition(":")[0] or "sqlite", **options, **told}), flush=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
