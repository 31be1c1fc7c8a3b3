"""The real relay for tests, `postmeter up` on a folder of its own, and a shop that hands mails over to it."""

from __future__ import annotations

import json
import os
import smtplib
import ssl
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

from postmeter.testing.waiting import free_port, wait_until

HOSTNAME = "mail.test"
ACCOUNT, DOMAIN = "shop", "shop.example"
LIST_HELP = "https://shop.example/help"
SENDER = f"orders@{DOMAIN}"
ORDER = f"From: {SENDER}\r\nSubject: Your order\r\n\r\nThank you for your order.\r\n".encode()
ACCEPTED = "2.0.0 Ok: queued as "
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
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("POSTMETER_")}
        self._environment = {**inherited, **(environment or {})}
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

    def kill(self) -> None:
        """SIGKILL to the first process, with which the others end; nothing when it has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def ready(self) -> bool:
        """Whether it has said that it takes mail."""
        return any(line.startswith("ready") for line in self.out().splitlines())

    @property
    def pid(self) -> int:
        """Its first process, once it was started."""
        assert self._process is not None
        return self._process.pid

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


@dataclass(frozen=True)
class Shop:
    """Sends with the access data of a connection, a session for each mail."""

    relay: Relay
    access: Access

    def send(self, *recipients: str, content: bytes | EmailMessage = ORDER) -> str:
        """Hand one mail over; the id that the 250 names. smtplib's exceptions tell a refusal."""
        octets = content if isinstance(content, bytes) else content.as_bytes(policy=SMTP)
        trusted = ssl.create_default_context(cafile=str(self.relay.certificate))
        with smtplib.SMTP_SSL(self.access.host, self.access.tls_port, context=trusted, timeout=30) as client:
            client.login(self.access.username, self.access.password)
            client.mail(SENDER)
            for recipient in recipients:
                code, said = client.rcpt(recipient)
                if code != 250:
                    raise smtplib.SMTPRecipientsRefused({recipient: (code, said)})
            code, said = client.data(octets)
        if code != 250:
            raise smtplib.SMTPDataError(code, said)
        text = said.decode()
        assert text.startswith(ACCEPTED), text
        return text.removeprefix(ACCEPTED)
