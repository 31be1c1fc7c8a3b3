"""A mail by which a customer tries a connection: accepted, paid, signed and delivered like any other of its mails."""

from __future__ import annotations

import os
from email.message import EmailMessage

from sqlalchemy.orm import Session

from postmeter.config import Settings
from postmeter.errors import UsageError
from postmeter.message.editing import PreparedHead, prepare
from postmeter.message.envelope import Envelope, Recipient
from postmeter.message.header import HeaderSection, head_size
from postmeter.message.identifier import new_id
from postmeter.smtp.reply import Reply
from postmeter.store import connections, suppressions
from postmeter.store.accept import Acceptance, Submission
from postmeter.store.connections import Access
from postmeter.store.own_mail import forward_path, wire

SENDER = "noreply"  # at the connection's first domain


def send(session: Session, settings: Settings, username: str, to: str, subject: str, text: str, now: float) -> str:
    """Put a mail of that connection into the queue with the commit of this transaction; its id.

    UsageError when the address is none or suppressed, the connection is off, or a limit or the quota is used up.
    """
    access = connections.access(session, username, now)
    if access is None or access.reason:
        raise UsageError(access.reason if access else f"there is no connection {username!r}")
    path = forward_path(to.strip())
    if suppressions.find(session, access.account_id, path, now):
        raise UsageError(f"{path} is on the suppression list; take it off there or choose another address")
    submission = _submission(settings, access, path, subject, text, now)
    [answer] = Acceptance(settings.overdraft, settings.demo)(session, [submission])
    if isinstance(answer, Reply):
        raise UsageError(answer.text)
    return submission.id


def _submission(settings: Settings, access: Access, path: str, subject: str, text: str, now: float) -> Submission:
    sender, utf8 = f"{SENDER}@{access.domains[0].name}", not path.isascii()
    identifier = new_id(int(now * 1000), os.urandom(10))
    octets = wire(EmailMessage(), _mail(sender, path, subject, text), utf8=utf8)
    size = head_size(octets)
    head = _prepared(settings, access, identifier, octets[:size], now, utf8=utf8)
    content = head.section.raw + octets[size:]
    return Submission(
        id=identifier,
        account_id=access.account_id,
        connection_id=access.connection_id,
        domain=access.domains[0].name,
        envelope=Envelope(sender, (Recipient(path, "NEVER"),), smtputf8=utf8),  # who tries it looks on
        header_from=access.domains[0].name,
        subject=head.subject,
        message_id=head.message_id,
        size=len(content),
        content=lambda: (content,),
        accepted_at=now,
        worker=None,
        capped=access.capped,
        priority=access.handling.priority,
        lifetime=access.handling.lifetime,
        tls_required=access.handling.tls_required,
    )


def _mail(sender: str, path: str, subject: str, text: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, path, subject
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834, 5: nobody is to answer it by a machine
    mail.set_content(text)
    return mail


def _prepared(
    settings: Settings, access: Access, identifier: str, head: bytes, now: float, *, utf8: bool
) -> PreparedHead:
    """With the fields that every mail of a connection gets."""
    return prepare(
        HeaderSection.parse(head, smtputf8=utf8),
        identifier=identifier,
        connection=str(access.connection_id),
        hostname=settings.hostname,
        seconds=int(now),
        list_help=access.domains[0].list_help,
        smtputf8=utf8,
    )
