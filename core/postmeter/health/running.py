"""Looks at the relay while it runs: disk and database at work, workers, plugins, the panel's protection."""

from __future__ import annotations

import ctypes
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_address

from postmeter.config import Settings, address
from postmeter.health.finding import Finding, ok, problem, warning
from postmeter.health.ground import not_made_yet
from postmeter.store import pools, schema, troubles, vitals
from postmeter.store.engine import Store

SLOW_DISK = 0.1  # seconds for a block to be on disk: each "250" waits for it
SLOW_DATABASE = 0.05  # seconds for an answer
CLOCK_TOLERANCE = 2.0  # seconds between two machines' clocks
STA_UNSYNC = 0x40  # adjtimex(2)
FEW = 5  # accounts and connections that are named


def disk_speed(settings: Settings) -> Iterator[Finding]:
    """How long it takes until a block is on disk."""
    if not os.access(settings.data, os.W_OK | os.X_OK):
        return
    with tempfile.TemporaryFile(dir=settings.data, buffering=0) as file:
        times = sorted(_written(file.fileno()) for _ in range(5))
    took = times[len(times) // 2]
    text = f"a block is on disk within {1000 * took:.1f} ms"
    if took < SLOW_DISK:
        yield ok("speed of the disk", text)
    else:
        yield warning("speed of the disk", text, "put server.data on a local disk: each accepted mail waits for it")


def clock_synchronised(_settings: Settings) -> Iterator[Finding]:
    """Whether the kernel knows its clock to be set by others, as chrony and systemd-timesyncd tell it."""
    check, status = "clock synchronisation", _kernel_clock()
    if status is None:
        return
    if status & STA_UNSYNC:
        yield warning(check, "the kernel's clock is not kept right by a time server", "run chrony or systemd-timesyncd")
    else:
        yield ok(check, "the kernel's clock is kept right by a time server")


def database_at_work(settings: Settings) -> Iterator[Finding]:
    """How fast the database answers, whether its clock is ours, and what is running."""
    if not_made_yet(settings):
        return
    with closing(Store.open(settings.store_url)) as store:
        if schema.version(store) is None:
            return
        schema.check(store)
        with store.read() as session:
            theirs, ours = vitals.database_time(session), time.time()  # at once: a slow database is no wrong clock
            running = vitals.workers(session)
            in_trouble = troubles.present(session)
            chosen = pools.chosen(session)
            begun = time.monotonic()  # what was asked before is not taken for slow because it was new
            vitals.workers(session)
            took = time.monotonic() - begun
    yield _speed(took)
    if theirs is not None:
        yield _same_clock(theirs - ours)
    alive = [one for one in running if one.lease_until > time.time()]
    yield from _workers(len(alive), [one.pid for one in running if one not in alive])
    for one in in_trouble:
        mend = "see the log for its traceback, and the plugin's page"
        yield warning("plugins at work", f"{one.plugin} fails at {one.hook}: {one.error}", mend)
    for pool in sorted(set(chosen) - set(settings.delivery.pools)):
        text = f"{', '.join(chosen[pool][:FEW])} should leave from {pool}, which delivery.pools does not have"
        yield warning("pools", text, "put that pool into delivery.pools, or choose another one")


def second_factor(settings: Settings) -> Iterator[Finding]:
    """Whether operators need more than a password."""
    if settings.web.second_factor == "nobody":
        text = "operators can log in with a password alone"
        yield warning("second factor", text, 'set web.second_factor to "operators" or "everybody"')
    else:
        yield ok("second factor", f"is demanded of {settings.web.second_factor}")


def panel(settings: Settings) -> Iterator[Finding]:
    """Whether the panel is reached by https only."""
    web, check = settings.web, "panel"
    if not web.listen:
        yield ok(check, "there is none: web.listen is empty")
        return
    host, _ = address("web.listen", web.listen)
    mend = "let it listen on the loopback, and put a web server with TLS in front of it"
    if host != "localhost" and not _is_loopback(host):
        yield problem(check, f"it listens on {web.listen}, where passwords travel unprotected", mend)
    elif web.url.startswith("https://"):
        yield ok(check, f"is reached at {web.url}")
    else:
        yield warning(
            check, "web.url names no https address, so links in mails lead to this machine only", "set web.url"
        )


def _speed(took: float) -> Finding:
    text = f"answers within {1000 * took:.1f} ms"
    if took < SLOW_DATABASE:
        return ok("speed of the database", text)
    return warning("speed of the database", text, "put it on a faster disk or nearer: each session waits for it")


def _same_clock(ahead: float) -> Finding:
    text = f"the database's clock is {ahead:+.1f} s from ours"
    if abs(ahead) < CLOCK_TOLERANCE:
        return ok("clock of the database", text)
    return problem("clock of the database", text, "set both clocks by time servers: leases and limits go by them")


def _workers(alive: int, silent: list[int]) -> Iterator[Finding]:
    if silent:
        mend = "others take over what they had; if it happens again, see the log"
        yield warning("workers", f"no heartbeat of the processes {', '.join(map(str, silent))}", mend)
    if alive:
        yield ok("workers", f"{alive} receive and deliver")
    elif not silent:
        yield warning("workers", "none is running", "start the relay: postmeter up")


def _written(file: int) -> float:
    begun = time.monotonic()
    os.pwrite(file, bytes(4096), 0)
    os.fsync(file)
    return time.monotonic() - begun


def _kernel_clock() -> int | None:
    """The status of the kernel's clock; None where there is none to ask."""
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    if adjtimex is None:
        return None
    timex = (ctypes.c_long * 64)()  # struct timex, with modes 0: it only reads
    if adjtimex(ctypes.byref(timex)) < 0:
        return None
    return int(ctypes.cast(timex, ctypes.POINTER(ctypes.c_int))[_STATUS])


# modes (int, padded to a long), offset, freq, maxerror, esterror (longs), then status (int)
_STATUS = 5 * ctypes.sizeof(ctypes.c_long) // ctypes.sizeof(ctypes.c_int)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
