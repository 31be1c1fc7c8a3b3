"""The real relay in processes of its own, as an operator runs it: started, asked by its commands, stopped, killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACCOUNT, DOMAIN, HOSTNAME = "shop", "shop.example", "mail.test"
LIST_HELP = "https://shop.example/help"
START_PATIENCE = 60.0  # seconds; several busy machines share their cores
STOP_PATIENCE = 35.0  # what the relay promises


@dataclass(frozen=True)
class Access:
    """What a shop's settings need, and the DKIM records that its domain publishes."""

    host: str
    port: int
    tls_port: int
    username: str
    password: str
    records: dict[str, str]


def free_port() -> int:
    """A port that nobody listens on, below those the system gives to clients."""
    for port in random.sample(range(20_000, 32_000), 200):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port")


def wait_until(predicate: Callable[[], Any], seconds: float, what: str | Callable[[], str] = "the condition") -> Any:
    """The predicate's first true value; AssertionError when there is none within so many seconds."""
    deadline = time.monotonic() + seconds
    while not (value := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds:g} s still not: {what() if callable(what) else what}")
        time.sleep(0.02)
    return value


class Relay:
    """`postmeter up` on ``folder``, which sends all mail to ``route`` (empty: as the DNS says).

    ``settings`` are lines of the sections, ``environment`` variables that its processes and commands see besides.
    """

    def __init__(
        self,
        folder: Path,
        route: str,
        workers: int = 2,
        settings: dict[str, str] | None = None,
        plugins: Sequence[str] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self._environment = {**os.environ, **(environment or {})}
        self.port, self.tls_port = free_port(), free_port()
        self.config = folder / "postmeter.toml"
        self._out, self._err = folder / "relay.out", folder / "relay.log"
        self._process: subprocess.Popen[bytes] | None = None
        sections = {
            "server": f'hostname = "{HOSTNAME}"\ndata = "{folder / "data"}"\nworkers = {workers}',
            "smtp": f'submission = ["127.0.0.1:{self.port}"]\nsubmissions = ["127.0.0.1:{self.tls_port}"]',
            "delivery": f'routes = {{ "*" = "{route}" }}' if route else "",
            "web": 'listen = ""',
            "plugins": f"enabled = {json.dumps(list(plugins))}",
        }
        for name, lines in (settings or {}).items():
            sections[name] = f"{sections.get(name, '')}\n{lines}"
        self.config.write_text("".join(f"[{name}]\n{lines}\n" for name, lines in sections.items()))

    # Running it

    def launch(self) -> None:
        """Start the processes, without waiting for them."""
        with self._out.open("wb") as out, self._err.open("ab") as err:
            command = [sys.executable, "-m", "postmeter", "up", "--config", str(self.config)]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=self.folder, env=self._environment
            )

    def start(self) -> None:
        """Start, and wait until mail is taken."""
        self.launch()
        wait_until(lambda: self.ready or self.exit_code is not None, START_PATIENCE, lambda: f"ready\n{self.log()}")
        assert self.ready, f"ended with {self.exit_code}\n{self.log()}"

    def stop(self) -> int:
        """End it as an operator does (SIGTERM); the exit code."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"not ended within {STOP_PATIENCE:g} s of SIGTERM\n{self.log()}") from None

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

    @property
    def ready(self) -> bool:
        """Whether it has said that it takes mail."""
        return any(line.startswith("ready") for line in self.out().splitlines())

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll() if self._process else None

    def out(self) -> str:
        """What it has said on standard output since it was started last."""
        return self._out.read_text()

    def log(self) -> str:
        """What it has said on standard error since ever."""
        return self._err.read_text()

    # Asking it

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `postmeter`."""
        return subprocess.run(
            [sys.executable, "-m", "postmeter", "--config", str(self.config), *arguments],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=START_PATIENCE,
            check=False,
        )

    def cli(self, *arguments: str) -> Any:
        """What a command answers with --json."""
        done = self.command(*arguments, "--json")
        assert done.returncode == 0, f"{arguments} ended with {done.returncode}: {done.stderr}"
        return json.loads(done.stdout)

    def set_up(self, block: int = 25_000, ed25519: bool = False) -> Access:
        """An account with a trusted domain (with ``ed25519``: two keys), a connection and a booked block (0: none)."""
        second_key = ["--ed25519"] if ed25519 else []
        self.cli("account", "add", ACCOUNT, "--owner", f"owner@{DOMAIN}")
        added = self.cli("domain", "add", ACCOUNT, DOMAIN, "--list-help", LIST_HELP, "--trust", *second_key)
        made = self.cli("connection", "add", ACCOUNT, "web shop", "--domain", DOMAIN)
        if block:
            self.cli("quota", "book", ACCOUNT, str(block))
        records = {r["name"]: r["value"] for r in added["records"] if "._domainkey." in r["name"]}
        return Access(made["host"], made["port"], made["tls_port"], made["username"], made["password"], records)

    def stats(self) -> dict[str, int]:
        """The account's numbers."""
        answer: dict[str, int] = self.cli("stats", ACCOUNT)
        return answer

    def queue(self) -> Any:
        """What waits and why."""
        return self.cli("queue")

    def message(self, identifier: str) -> Any:
        """What happened to a message."""
        return self.cli("message", "show", identifier)

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    @property
    def database(self) -> Path:
        """SQLite's file."""
        return self.data / "postmeter.db"

    @property
    def certificate(self) -> Path:
        """What a client has to trust."""
        return self.data / "certificate.pem"


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
