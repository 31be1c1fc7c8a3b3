"""What is written into an order: one sentence about one recipient, with a mark by which it is found again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b

MAX_REPLY = 500  # characters of the mail server's answer
MAX_RECIPIENT = 320  # characters of an address (RFC 5321, 4.5.3.1, and the at sign)
WORDS = {
    "delivered": "Mail to {recipient} was delivered at {when}: {reply} (Postmeter {mark})",
    "bounced": "Mail to {recipient} bounced at {when}: {reply} (Postmeter {mark})",
    "expired": "Mail to {recipient} was given up at {when}: {reply} (Postmeter {mark})",
}
_NO_TAGS = str.maketrans("<>", "‹›")


@dataclass(frozen=True)
class Note:
    """What became of a message for a recipient: ``kind`` is one of WORDS, ``at`` seconds since the epoch."""

    message_id: str
    recipient: str
    kind: str
    at: float
    reply: str

    @property
    def mark(self) -> str:
        """The same for the same message, recipient and kind, and for nothing else; letters, digits and a hyphen."""
        told = f"{self.recipient}\0{self.kind}".encode("utf-8", "replace")
        return f"{self.message_id}-{blake2b(told, digest_size=4).hexdigest()}"

    @property
    def when(self) -> str:
        """The time in UTC, so that later ones sort behind."""
        return datetime.fromtimestamp(self.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

    @property
    def text(self) -> str:
        """The note on one line, with nothing in it that a shop takes for a tag, refuses or strips."""
        text = WORDS[self.kind].format(
            recipient=printable(self.recipient, MAX_RECIPIENT),
            when=self.when,
            reply=printable(self.reply, MAX_REPLY),
            mark=self.mark,
        )
        return text.translate(_NO_TAGS)


def printable(text: str, most: int) -> str:
    """The text on one line, not longer than ``most`` characters; a stranger's text may have anything in it."""
    plain = "".join([c if c.isprintable() else " " for c in text[: 2 * most]])
    return " ".join(plain.split())[:most]
