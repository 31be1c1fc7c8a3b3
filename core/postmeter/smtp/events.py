"""What the submission session asks and tells the one who drives it.

Every event but ``Content`` and ``Abandoned`` must be answered with a reply before the session goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from postmeter.message.envelope import Envelope, Recipient
from postmeter.smtp.parameters import MailParameters
from postmeter.smtp.reply import Reply


@dataclass(frozen=True, slots=True)
class StartTls:
    """The client wants TLS. After a positive answer: write, start TLS, call ``tls_started`` (RFC 3207, 4)."""


@dataclass(frozen=True, slots=True)
class Login:
    """Who the client says it is (RFC 4954, 4); a positive answer logs it in, every other counts as a failure."""

    mechanism: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail transaction begins (RFC 5321, 4.1.1.2); ``reverse_path`` is empty for the null path."""

    reverse_path: str
    parameters: MailParameters


@dataclass(frozen=True, slots=True)
class Rcpt:
    """One more recipient is named (RFC 5321, 4.1.1.3); it belongs to the envelope when the answer is positive."""

    recipient: Recipient


@dataclass(frozen=True, slots=True)
class Content:
    """The next part of the content, without added dots; takes no answer. Up to 64 KiB of content come as one block."""

    block: bytes


@dataclass(frozen=True, slots=True)
class EndOfContent:
    """The content is complete, ``size`` octets; a positive answer says that it is on disk and ours.

    With a ``flaw`` the content was not handed on to its end, and the answer is that flaw.
    """

    envelope: Envelope
    size: int
    flaw: Reply | None


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The client dropped a mail transaction between two chunks of its content: what was kept is void; no answer."""


Question = StartTls | Login | Mail | Rcpt | EndOfContent
Event = Question | Content | Abandoned
