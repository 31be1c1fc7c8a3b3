"""A mail to the operator's mailboxes as it is passed on: attached as it came, octet for octet (RFC 2046, 5.2.1)."""

from __future__ import annotations

from binascii import b2a_base64
from dataclasses import dataclass

from postmeter.message.editing import date_time, subject_of
from postmeter.message.header import Field, HeaderSection
from postmeter.message.parts import Header, Mail

MARK = "X-Postmeter-Passed-On"  # on a mail that comes back to us: it goes round
MOST_RECEIVED = 50  # RFC 5321, 6.3
MAX_SUBJECT = 150  # characters of the original's

_WORDS = (
    "The attached mail came to {mailbox}, from {sender}.\r\n"
    "Answer to the address in it, not to this mail.\r\n\r\n"
    "This relay passes on what is sent to the mailboxes that every mail server has (RFC 2142).\r\n"
)


@dataclass(frozen=True, slots=True)
class PassedOn:
    """A mail that came to ``mailbox`` from ``sender`` (empty: the null path)."""

    mailbox: str
    sender: str
    original: bytes

    @property
    def subject(self) -> str:
        """What the mail with it is called."""
        given = Field(b"subject", f"subject: {Header.read(self.original).get('subject')}\r\n".encode())
        return f"Mail to {self.mailbox}: {subject_of(HeaderSection((given,)))[:MAX_SUBJECT]}"

    def content(self, *, to: str, hostname: str, identifier: str, seconds: int) -> bytes:
        """The mail for the operator; ``identifier`` is new, so its boundary cannot be in the original."""
        boundary = f"=_{identifier}"
        fields = {
            "From": f"Postmeter <postmaster@{hostname}>",
            "To": f"<{to}>",
            "Subject": _encoded(self.subject),
            "Date": date_time(seconds),
            "Message-ID": f"<{identifier}@{hostname}>",
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "All",
            MARK: hostname,
            "MIME-Version": "1.0",
            "Content-Type": f'multipart/mixed; boundary="{boundary}"',
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        words = _WORDS.format(mailbox=self.mailbox, sender=f"<{self.sender}>")
        text = f"--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{words}\r\n"
        encoding = "" if self.original.isascii() else "Content-Transfer-Encoding: 8bit\r\n"
        attached = f"--{boundary}\r\nContent-Type: message/rfc822\r\nContent-Disposition: attachment\r\n{encoding}\r\n"
        return f"{head}\r\n{text}{attached}".encode() + self.original + f"\r\n--{boundary}--\r\n".encode()


def goes_round(mail: Mail) -> bool:
    """Whether it was passed on before, or has passed too many servers."""
    return bool(mail.header.get(MARK.lower())) or len(mail.header.all("received")) > MOST_RECEIVED


def _encoded(text: str) -> str:
    """The text in encoded words (RFC 2047), each of them short enough, and no more than ASCII otherwise."""
    if text.isascii():
        return text
    words = [text[n : n + 15].encode() for n in range(0, len(text), 15)]
    return "\r\n ".join(f"=?utf-8?b?{b2a_base64(word, newline=False).decode()}?=" for word in words)
