"""Postmeter as a peer: its own configuration, one customer with a large block, everything else as it comes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from peer import Access, Peer, Ports, end, wait_for_port

BLOCK = 1_000_000  # mails, enough for any run
START = 60.0  # seconds until it must be ready

CONFIG = """\
[server]
hostname = "relay.example"
data = "{folder}/data"
[smtp]
submission = ["127.0.0.1:{submission}"]
submissions = ["127.0.0.1:{submissions}"]
certificate = "{certificate}"
private_key = "{key}"
# All clients of a benchmark have one address and one connection.
max_sessions_per_ip = 10000
max_sessions_per_connection = 10000
[delivery]
routes = {{ "*" = "127.0.0.1:{sink}" }}
allow_private = true
[web]
listen = "127.0.0.1:{panel}"
"""


class Postmeter(Peer):
    """`postmeter up` with SQLite and one worker per core."""

    name = "postmeter"

    def __init__(self, folder: Path, ports: Ports) -> None:
        super().__init__(folder, ports)
        self.config = self.folder / "postmeter.toml"
        self.log = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._granted: dict[str, Any] = {}

    def start(self) -> Access:
        """A new data folder, a customer, and the relay."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        port = self.ports.submission
        self.config.write_text(
            CONFIG.format(
                folder=self.folder,
                submission=port,
                submissions=port + 1,
                panel=port + 2,
                sink=self.ports.sink,
                certificate=self.certificate,
                key=self.key,
            )
        )
        self._command("account", "add", "shop", "--owner", "owner@sender.example", "--agreement")
        self._command(
            "domain", "add", "shop", "sender.example", "--list-help", "https://sender.example/help", "--trust"
        )
        self._granted = self._command("connection", "add", "shop", "orders", "--domain", "sender.example")
        self._command("quota", "book", "shop", str(BLOCK))
        return self.restart()

    def restart(self) -> Access:
        """The relay on the data folder as it is; a killed predecessor is reaped first, or it would seem to run."""
        end(self._process)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*self._program, "up"], stdout=log, stderr=subprocess.STDOUT, env=_environment(), start_new_session=True
            )
        self._wait_until_ready(self._process)
        wait_for_port(self.ports.submission)
        user, password = self._granted["username"], self._granted["password"]
        return Access(self.name, self.ports.submission, "starttls", user, password, (self._process.pid,))

    def stop(self) -> None:
        """SIGTERM and wait: it finishes what is under way."""
        end(self._process)

    @property
    def _program(self) -> list[str]:
        return [sys.executable, "-m", "postmeter", "--config", str(self.config)]

    def _command(self, *arguments: str) -> dict[str, Any]:
        command = [*self._program, *arguments, "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, env=_environment(), check=True)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START
        while "ready" not in self.log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                end(process)
                raise RuntimeError(f"Postmeter did not start:\n{self.log.read_text()}")
            time.sleep(0.1)


def _environment() -> dict[str, str]:
    """Ours without settings that would change the configuration."""
    return {name: value for name, value in os.environ.items() if not name.startswith("POSTMETER_")}
