"""The demo's shop: hands mails in over SMTP as any shop's software does, in a thread of its own."""

from __future__ import annotations

import logging
import smtplib
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from itertools import islice

from postmeter.demo.customer import DOMAIN, AccessData
from postmeter.demo.samples import Sample

log = logging.getLogger(__name__)

BURST = 12  # mails at first, in one session
PACE = 1.0  # seconds from one mail to the next afterwards
TIMEOUT = 10.0  # seconds


class Shop:
    """Sends ``mails`` until they are used up (then ``finished``) or ``stop`` is called."""

    def __init__(self, access: AccessData, mails: Iterator[Sample]) -> None:
        self.finished = False
        self._access = access
        self._mails = mails
        self._tls = ssl.create_default_context(cafile=str(access.certificate))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="shop", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the mail that is under way."""
        self._stop.set()

    def _work(self) -> None:
        waiting = deque(islice(self._mails, BURST))
        while waiting and not self._stop.is_set():
            try:
                self._hand_in(waiting)
            except (OSError, smtplib.SMTPException) as error:
                if not self._stop.is_set():
                    log.warning("a mail was not taken, the shop will try again: %s", error)
            else:
                waiting.extend(islice(self._mails, 1))
            if waiting:
                self._stop.wait(PACE)
        self.finished = not waiting

    def _hand_in(self, waiting: deque[Sample]) -> None:
        """Send what waits in one session; what is answered 250, or refused for good, waits no longer."""
        access = self._access
        with smtplib.SMTP(access.host, access.port, f"shop.{DOMAIN}", TIMEOUT) as session:
            session.starttls(context=self._tls)
            session.login(access.username, access.password)
            while waiting and not self._stop.is_set():
                mail = waiting[0]
                options = [] if mail.content.isascii() else ["BODY=8BITMIME"]
                try:
                    session.sendmail(mail.reverse_path, mail.recipients, mail.content, options)
                except smtplib.SMTPRecipientsRefused as refused:  # an address that has bounced is suppressed
                    if any(code < 500 for code, _ in refused.recipients.values()):
                        raise
                waiting.popleft()
