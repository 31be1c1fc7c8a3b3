"""The recipients' mail server for tests: the demo's recipient side in a process of its own, and what it has taken."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from postmeter.testing.waiting import wait_until

PATIENCE = 20.0  # seconds until a mail has arrived


@dataclass(frozen=True)
class Arrived:
    """A mail as it came: what MAIL and RCPT said, the content, and whether the session was encrypted."""

    reverse_path: str
    recipients: tuple[str, ...]
    content: bytes
    tls: bool = False

    @property
    def message(self) -> EmailMessage:
        """The content, parsed."""
        return message_from_bytes(self.content, policy=policy.default)


class Recipients:
    """Takes mail for every domain on a ``port`` of the loopback, and keeps it in ``folder``.

    It has no users nobody...@ and unknown...@, and defers greylisted...@ the first time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        command = [sys.executable, "-m", "postmeter.testing.recipient_process", str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def close(self) -> None:
        """Take no more."""
        self._process.communicate()

    @property
    def received(self) -> list[Arrived]:
        """All mails so far, in order."""
        return [_read(path) for path in sorted(self._folder.glob("*.json"))]

    def to(self, recipient: str) -> list[Arrived]:
        """The mails to this address."""
        return [mail for mail in self.received if recipient in mail.recipients]

    def wait(self, recipient: str, seconds: float = PATIENCE) -> Arrived:
        """The first mail to this address; AssertionError when none has come within so many seconds."""
        mails: list[Arrived] = wait_until(lambda: self.to(recipient), seconds, f"a mail to {recipient}")
        return mails[0]


def _read(path: Path) -> Arrived:
    kept = json.loads(path.read_text("ascii"))
    return Arrived(kept["reverse_path"], tuple(kept["recipients"]), kept["content"].encode("latin-1"), kept["tls"])
