"""The real relay in processes of its own, as plugin authors have it too; and what only chaos needs: killing them."""

from __future__ import annotations

import contextlib
import os
import signal

from postmeter.testing import running
from postmeter.testing.running import ACCOUNT as ACCOUNT
from postmeter.testing.running import DOMAIN as DOMAIN
from postmeter.testing.running import HOSTNAME as HOSTNAME
from postmeter.testing.running import START_PATIENCE
from postmeter.testing.running import Access as Access
from postmeter.testing.waiting import free_port as free_port
from postmeter.testing.waiting import wait_until


class Relay(running.Relay):
    """`postmeter up`, whose single processes are known."""

    def wait(self, seconds: float = START_PATIENCE) -> int:
        """Let it end by itself; the exit code."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to all processes at once; returns when they are gone."""
        if self._process is None:
            return
        pids = [self._process.pid, *self.children()] if self._process.poll() is None else []
        for pid in pids:
            _kill(pid)
        self._process.wait()
        wait_until(lambda: not any(map(_alive, pids)), 10, "all processes gone")

    def kill_worker(self) -> int:
        """SIGKILL to one of the workers; its pid."""
        pid = self.workers()[0]
        _kill(pid)
        return pid

    def children(self) -> list[int]:
        """The pids of all processes that the relay has started."""
        assert self._process is not None
        return _descendants(self._process.pid)

    def workers(self) -> list[int]:
        """The pids of the processes that receive and deliver."""
        return [pid for pid in self.children() if b"worker" in _command_line(pid)]


def _descendants(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal() and (parent := _parent(int(entry))):
            parents.setdefault(parent, []).append(int(entry))
    found, waiting = [], [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return sorted(found)


def _parent(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return None  # gone meanwhile


def _command_line(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
