"""A shop that hands mails over to the running relay."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass

from support.relay import DOMAIN, Access, Relay

ACCEPTED = "2.0.0 Ok: queued as "
SENDER = f"orders@{DOMAIN}"
ORDER = f"From: {SENDER}\r\nSubject: Your order\r\n\r\nThank you for your order.\r\n".encode()


@dataclass(frozen=True)
class Shop:
    """Sends with the access data of a connection, a session for each mail."""

    relay: Relay
    access: Access

    def send(self, *recipients: str, content: bytes = ORDER) -> str:
        """Hand one mail over; the id that the 250 names. smtplib's exceptions tell a refusal."""
        trusted = ssl.create_default_context(cafile=str(self.relay.certificate))
        with smtplib.SMTP_SSL(self.access.host, self.access.tls_port, context=trusted, timeout=30) as client:
            client.login(self.access.username, self.access.password)
            client.mail(SENDER)
            for recipient in recipients:
                assert client.rcpt(recipient)[0] == 250
            code, said = client.data(content)
        if code != 250:
            raise smtplib.SMTPDataError(code, said)
        text = said.decode()
        assert text.startswith(ACCEPTED), text
        return text.removeprefix(ACCEPTED)
