"""Mail of the relay's own, such as notices to an account's admins: nobody's, free of charge, and never answered."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from email import policy
from email.message import EmailMessage

from sqlalchemy.orm import Session

from postmeter.errors import UsageError
from postmeter.message.editing import MAX_MESSAGE_ID, MAX_SUBJECT, date_time
from postmeter.message.envelope import Envelope, Recipient
from postmeter.message.handling import NORMAL
from postmeter.message.identifier import new_id
from postmeter.smtp.address import parse_forward_path
from postmeter.smtp.reply import Refused
from postmeter.store.accept import FREE, Accepted, Submission, insert_messages

OPERATOR = 0  # the number that the relay's own mail has instead of an account's and a connection's
_WIRE = policy.SMTP.clone(cte_type="7bit")


def send(
    session: Session,
    mail: EmailMessage,
    to: str,
    hostname: str,
    now: float,
    reference: str = "",
    priority: int = NORMAL,
) -> str:
    """Put a mail into the queue with the commit of this transaction; its id. ``reference`` says what it is about.

    All mail of the relay's own stands in one lane: ``priority`` lets what a person waits for pass what comes in piles.
    From, To, Date and Message-ID are added when absent; the reverse path is the null one (RFC 3834, 3.3). UsageError
    when ``to`` is no address, or a header field has more than one line.
    """
    path = forward_path(to)
    identifier = new_id(int(now * 1000), os.urandom(10))
    added = _missing(mail, to, hostname, identifier, now)
    content = wire(added, mail, utf8=not path.isascii())
    written = Written(
        identifier,
        content,
        header_from=_domain_of(mail, hostname),
        subject=str(mail["Subject"] or ""),
        message_id=str(mail["Message-ID"] or added["Message-ID"]),
    )
    put(session, written, path, hostname, now, reference, priority)
    return identifier


@dataclass(frozen=True, slots=True)
class Written:
    """A mail of the relay's own as it goes out: its octets, and what is kept of its header section."""

    identifier: str
    content: bytes
    header_from: str
    subject: str
    message_id: str


def put(
    session: Session,
    mail: Written,
    path: str,
    hostname: str,
    now: float,
    reference: str = "",
    priority: int = NORMAL,
) -> None:
    """Put a mail for one forward path into the queue with the commit of this transaction."""
    submission = replace(
        own(mail.identifier, path, mail.content, hostname, now),
        header_from=mail.header_from,
        subject=mail.subject[:MAX_SUBJECT],
        message_id=mail.message_id[:MAX_MESSAGE_ID],
        reference=reference,
        priority=priority,
    )
    insert_messages(session, [(submission, Accepted((None,)))], FREE)


def own(identifier: str, path: str, content: bytes, hostname: str, now: float) -> Submission:
    """A mail of the relay's own to that path: with the null reverse path, and nobody is notified of its fate."""
    return Submission(
        id=identifier,
        account_id=OPERATOR,
        connection_id=OPERATOR,
        domain=hostname,
        envelope=Envelope("", (Recipient(path, "NEVER"),), smtputf8=not path.isascii()),
        header_from=hostname,
        subject="",
        message_id=f"<{identifier}@{hostname}>",
        size=len(content),
        content=lambda: (content,),
        accepted_at=now,
        worker=None,
    )


def reaches(to: str) -> bool:
    """Whether ``send`` can write to this address."""
    return bool(_path(to))


def forward_path(to: str) -> str:
    """The path to an address that a person gave; UsageError when it is none."""
    path = _path(to)
    if not path:
        raise UsageError(f"{to!r} is not an address such as joe@example.org")
    return path


def _path(to: str) -> str:
    try:
        path = parse_forward_path(f"<{to}>").mailbox
        EmailMessage()["To"] = path  # may be a path and, by an encoded word in it, nothing for a header field
    except (Refused, ValueError):
        return ""
    return path if "@" in path else ""


def wire(added: EmailMessage, mail: EmailMessage, *, utf8: bool) -> bytes:
    """The octets of a mail behind fields that are added.

    ``utf8``: with fields as they are, since an address is not to be encoded (RFC 6532, 3.2). UsageError: an encoded
    word in a field that somebody else has named may hold a line break, which Python would write out.
    """
    wire = _WIRE.clone(utf8=utf8)
    content = added.as_bytes(policy=wire).removesuffix(b"\r\n") + mail.as_bytes(policy=wire)
    lines = content.partition(b"\r\n\r\n")[0].split(b"\r\n")
    names = [line.partition(b":")[0].decode("utf-8", "replace") for line in lines if line[:1] not in (b" ", b"\t")]
    if names != [*added.keys(), *mail.keys()] or any(end in line for line in lines for end in (b"\r", b"\n")):
        raise UsageError("a header field of the mail has a line break in it")
    return content


def _domain_of(mail: EmailMessage, hostname: str) -> str:
    """The domain of the From field."""
    author = mail["From"]
    return next((one.domain.lower() for one in author.addresses if one.domain), hostname) if author else hostname


def _missing(mail: EmailMessage, to: str, hostname: str, identifier: str, now: float) -> EmailMessage:
    """The fields that a mail has not got; it stays as it is, since it may go to somebody else as well."""
    defaults = {
        "From": f"Postmeter <postmaster@{hostname}>",
        "To": to,
        "Date": date_time(int(now)),
        "Message-ID": f"<{identifier}@{hostname}>",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
    }
    added = EmailMessage()
    for name, value in defaults.items():
        if name not in mail:
            added[name] = value
    return added
