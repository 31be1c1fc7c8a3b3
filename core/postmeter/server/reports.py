"""The port for reports: bounces and complaints of other servers, and mail to abuse@ and postmaster@, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from twisted.internet.defer import ensureDeferred

from postmeter.message.parts import MAX_SIZE
from postmeter.server.doorway import Visitors
from postmeter.server.link import Entrance
from postmeter.server.report_mailboxes import Mailboxes
from postmeter.server.report_office import Office
from postmeter.server.share import Share
from postmeter.server.spool import Spool
from postmeter.server.visit import Visit, refusal_of
from postmeter.smtp import replies
from postmeter.smtp.events import Content, EndOfContent, Mail, Rcpt, StartTls
from postmeter.smtp.inbound import InboundSession
from postmeter.smtp.limits import Limits
from postmeter.smtp.reply import Reply

ROOM = 1_048_576  # octets of a report besides the mail that may be returned whole in it
IN_MEMORY = 65_536  # octets of each, since anybody may come


@dataclass(frozen=True)
class Reports:
    """What all sessions of a worker on this port share; ``disk_is_low`` says that nothing should be taken for now."""

    hostname: str
    limits: Limits
    mailboxes: Mailboxes
    office: Office
    share: Share
    visitors: Visitors
    entrance: Entrance
    spool_folder: Path
    disk_is_low: Callable[[], bool]


class ReportsProtocol(Visit):
    """Another mail server, which needs no name here."""

    IN_MEMORY = IN_MEMORY

    def __init__(self, reports: Reports) -> None:
        session = InboundSession(reports.hostname, reports.limits)
        super().__init__(session, reports.entrance, reports.visitors, reports.spool_folder, implicit_tls=False)
        self._reports = reports

    def welcome(self) -> None:
        """Greet; nobody logs in here, so each command has its time from the beginning."""
        if not self._reports.share.enter(self):
            self.refuse_entry(replies.OVERLOADED)
            return
        self.known = True
        self.deadline.logged_in()
        super().welcome()

    def lost(self) -> None:
        """The link is gone."""
        self._reports.share.leave(self)
        super().lost()

    def _mail(self, _event: Mail) -> None:
        self._answer(replies.DISK_FULL if self._reports.disk_is_low() else replies.SENDER_OK)

    def _rcpt(self, event: Rcpt) -> None:
        answer = self._reports.mailboxes.judge(event.recipient.forward_path)
        if isinstance(answer, Reply):
            self._answer(answer)
        else:
            answer.addCallback(self._answer).addErrback(self._stumbled)

    def _keep(self, event: Content) -> None:
        """Keep what is looked at: a report says first what it is about, and then may return a mail of any size."""
        room = MAX_SIZE - (self._spool.size if self._spool else 0)
        if room > 0:
            super()._keep(Content(event.block[:room]))

    def _end_of_content(self, event: EndOfContent) -> None:
        refusal, self._trouble = event.flaw or self._trouble, None
        if refusal is not None:
            self._drop_spool()
            self._answer(refusal)
            return
        spool, self._spool = self._spool or Spool(self._spool_folder), None
        d = ensureDeferred(self._reports.office.take(event.envelope, lambda: b"".join(spool.blocks(0)), event.size))
        d.addErrback(refusal_of)
        d.addCallback(self._accepted, spool).addErrback(self._stumbled)


ReportsProtocol.HANDLERS = {
    StartTls: ReportsProtocol._start_tls,
    Mail: ReportsProtocol._mail,
    Rcpt: ReportsProtocol._rcpt,
    EndOfContent: ReportsProtocol._end_of_content,
}
