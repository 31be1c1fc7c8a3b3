"""What every process of the relay does when it begins and when it ends."""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def use_steady_clock(reactor: Any) -> None:
    """Let the reactor count seconds that nobody sets: a step of the clock must not end sessions, or stop all timers."""
    reactor.seconds = time.monotonic


def allow_many_files() -> None:
    """Let this process open as many files as the system allows it: every session is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class OpenFiles:
    """Tells the log when this process has nearly as many files open as it may; every session is one."""

    def __init__(self) -> None:
        self._many = False

    def look(self) -> None:
        """Count them; that takes a moment when they are thousands."""
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        used = len(os.listdir("/proc/self/fd"))
        many = 10 * used >= 9 * most
        if many and not self._many:
            log.error("%d of %d files are open: raise the limit (LimitNOFILE), or sessions are dropped", used, most)
        self._many = many


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


def leave_threads(code: object) -> None:
    """End this process with its exit code now, if threads are left that Python would wait for, maybe for ever.

    They are a plugin's: all that the relay starts have ended, or may be left behind.
    """
    left = [one.name for one in threading.enumerate() if not one.daemon and one is not threading.main_thread()]
    if left:
        log.warning("this process does not wait for threads that were left behind: %s", ", ".join(left))
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))
