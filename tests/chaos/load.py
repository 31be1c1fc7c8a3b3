"""Shops that send at the same time, and remember what they were promised."""

from __future__ import annotations

import itertools
import smtplib
import ssl
import threading
import time
from collections import Counter
from pathlib import Path

from chaos.ledger import MARK, Promised
from support.relay import Access

RECIPIENTS = ("anna", "anna", "anna", "anna", "unknown", "anna", "anna", "anna", "anna", "later")  # by local part
SENDER = "orders@shop.example"
ACCEPTED = "2.0.0 Ok: queued as "


class Load:
    """``threads`` clients that send order mails until ``finish`` or until ``mails`` were begun."""

    def __init__(self, access: Access, certificate: Path, mails: int, threads: int = 8) -> None:
        self.promised: list[Promised] = []
        self.in_doubt = 0  # mails that were sent and got no answer
        self.troubles: Counter[str] = Counter()  # what the clients met
        self._access = access
        self._trusted = ssl.create_default_context(cafile=str(certificate))
        self._numbers = iter(range(mails))
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Begin no further mails, and wait for those under way."""
        self._over.set()
        self.join()

    def join(self) -> None:
        """Wait until all mails are sent."""
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                with smtplib.SMTP_SSL(
                    self._access.host, self._access.tls_port, context=self._trusted, timeout=30
                ) as client:
                    client.login(self._access.username, self._access.password)
                    self._send_all(client)
                return
            except (OSError, smtplib.SMTPException) as error:
                with self._lock:
                    self.troubles[repr(error)] += 1
                time.sleep(0.05)  # the relay is gone: a shop tries again

    def _send_all(self, client: smtplib.SMTP) -> None:
        while not self._over.is_set():
            with self._lock:
                number = next(self._numbers, None)
            if number is None:
                return
            try:
                self._send(client, number)
            except (OSError, smtplib.SMTPException):
                with self._lock:
                    self.in_doubt += 1
                raise

    def _send(self, client: smtplib.SMTP, number: int) -> None:
        names = itertools.islice(itertools.cycle(RECIPIENTS), number % len(RECIPIENTS), None)
        recipients = [
            f"{name}-{number}-{n}@kunde.example" for name, n in zip(names, range(1 + number % 3), strict=False)
        ]
        _check(client.mail(SENDER))
        for recipient in recipients:
            _check(client.rcpt(recipient))
        said = _check(client.data(order_mail(number)))
        assert said.startswith(ACCEPTED), said
        with self._lock:
            self.promised.append(Promised(said.removeprefix(ACCEPTED), str(number), tuple(recipients)))


def _check(answer: tuple[int, bytes]) -> str:
    code, text = answer
    if code != 250:
        raise smtplib.SMTPResponseException(code, text)
    return text.decode()


def order_mail(number: int) -> bytes:
    """A mail of 2 kB, every 20th of 150 kB, whose MARK is the number."""
    head = f"From: orders@shop.example\r\nSubject: Order {number}\r\n".encode() + MARK + f": {number}\r\n\r\n".encode()
    return head + b"Thank you for your order.\r\n" * (5_600 if number % 20 == 0 else 75)
