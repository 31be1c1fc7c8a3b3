"""A session of submission: who logs in, what is answered to MAIL and RCPT, and messages to acceptance."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from postmeter.server.acceptance import Acceptance
from postmeter.server.auth import Directory, InactiveConnection, ISubmitter, Submitter, TokenCredentials
from postmeter.server.doorway import Visitors
from postmeter.server.link import Entrance
from postmeter.server.policy import RecipientPolicy
from postmeter.server.spool import Spool
from postmeter.server.visit import Visit, refusal_of
from postmeter.smtp import replies
from postmeter.smtp.events import EndOfContent, Login, Mail, Rcpt, StartTls
from postmeter.smtp.reply import Reply
from postmeter.smtp.session import Limits, Session
from postmeter.store.connections import Access

log = logging.getLogger(__name__)

LOGIN_FAILURE_TIME = 0.3  # seconds that a failed log-in takes, whether the user name or the password is wrong


@dataclass(frozen=True)
class Reception:
    """What all sessions of a worker share; ``disk_is_low`` says that nothing more should be taken for now."""

    hostname: str
    limits: Limits
    portal: Portal
    directory: Directory
    acceptance: Acceptance
    policy: RecipientPolicy
    visitors: Visitors
    entrance: Entrance
    spool_folder: Path
    disk_is_low: Callable[[], bool]


class SubmissionProtocol(Visit):
    """A client that hands over messages once it has logged in."""

    def __init__(self, reception: Reception, implicit_tls: bool) -> None:
        session = Session(reception.hostname, reception.limits, implicit_tls)
        super().__init__(session, reception.entrance, reception.visitors, reception.spool_folder, implicit_tls)
        self._reception = reception

    def _log_in(self, event: Login) -> None:
        if not self._reception.visitors.guard.may_log_in(event.username, self.address):
            self._answer(replies.LOGIN_LOCKED)
            return
        credentials = TokenCredentials(event.username, event.password)
        d: Deferred[Any] = self._reception.portal.login(credentials, None, ISubmitter)
        d.addCallbacks(self._logged_in, self._not_logged_in, errbackArgs=(event.username, self.now()))
        d.addErrback(self._stumbled)

    def _logged_in(self, result: tuple[object, Submitter, Callable[[], None]]) -> None:
        submitter = result[1]
        guard, census = self._reception.visitors.guard, self._reception.visitors.census
        username = submitter.access.username
        if not self.connected:
            self._answer(replies.AUTHENTICATION_UNAVAILABLE)  # it has left the census already
        elif not guard.may_log_in(username, self.address):
            self._answer(replies.LOGIN_LOCKED)  # others have failed while this one was looked at
        else:
            guard.succeeded(username, self.address)
            if not census.log_in(self, submitter):
                self._answer(replies.TOO_MANY_SESSIONS)
                return
            self._submitter = submitter
            self.known = True
            self.deadline.logged_in()
            self._answer(replies.AUTHENTICATED)

    def _not_logged_in(self, failure: Failure, username: str, begun: float) -> None:
        if isinstance(failure.value, InactiveConnection):
            inactive = replies.connection_inactive(str(failure.value))
            self._answer(replace(inactive, code=535, status="5.7.8"))
        elif isinstance(failure.value, UnauthorizedLogin):
            reply = self._failed(username)
            if self.connected:  # as late as any other, so that the time does not tell what was wrong
                left = begun + LOGIN_FAILURE_TIME - self.now()
                self.later(max(left, 0.0), self._answer, reply)
        else:
            log.error("a log-in could not be checked", exc_info=failure.value)
            self._answer(replies.AUTHENTICATION_UNAVAILABLE)

    def _failed(self, username: str) -> Reply:
        guard = self._reception.visitors.guard
        if not guard.may_log_in(username, self.address):  # others have failed while this one was looked at
            return replies.LOGIN_LOCKED
        guard.failed(username, self.address, exists=self._reception.directory.at_hand(username) is not None)
        return replies.AUTHENTICATION_FAILED

    def _mail(self, _event: Mail) -> None:
        """A session may last for long: what has changed since its log-in holds for its next message."""
        if self._reception.disk_is_low():
            self._answer(replies.DISK_FULL)
            return
        directory = self._reception.directory
        username = self._submitter.access.username if self._submitter is not None else ""
        access = directory.at_hand(username)
        if access is not None:
            self._answer(self._renewed(access))
            return
        d: Deferred[Any] = directory.get(username)
        d.addCallback(self._renewed).addErrback(refusal_of)
        d.addCallback(self._answer).addErrback(self._stumbled)

    def _renewed(self, access: Access | None) -> Reply:
        """The answer to MAIL, and from now on this access instead of the one of the log-in."""
        submitter = self._submitter
        opened = access.opened_by(submitter.secret) if submitter is not None and access is not None else None
        if submitter is None or opened is None:
            return replies.ACCESS_CHANGED
        if opened.reason:
            return replies.connection_inactive(opened.reason)
        if opened is not submitter.access:
            self._submitter = Submitter(opened, submitter.secret)
        return replies.SENDER_OK

    def _rcpt(self, event: Rcpt) -> None:
        assert self._submitter is not None  # there is no RCPT before the log-in
        answer = self._reception.policy.check(self._submitter.access, event.recipient.forward_path)
        if isinstance(answer, Reply):
            self._answer(answer)
        else:
            answer.addErrback(refusal_of).addCallback(self._answer).addErrback(self._stumbled)

    def _end_of_content(self, event: EndOfContent) -> None:
        refusal, self._trouble = event.flaw or self._trouble, None
        if refusal is not None or self._submitter is None:
            self._drop_spool()
            self._answer(refusal or replies.AUTHENTICATION_REQUIRED)
            return
        spool, self._spool = self._spool or Spool(self._reception.spool_folder), None
        d = self._reception.acceptance.accept(self._submitter.access, event.envelope, spool)
        d.addErrback(refusal_of)
        d.addCallback(self._accepted, spool).addErrback(self._stumbled)


SubmissionProtocol.HANDLERS = {
    StartTls: SubmissionProtocol._start_tls,
    Login: SubmissionProtocol._log_in,
    Mail: SubmissionProtocol._mail,
    Rcpt: SubmissionProtocol._rcpt,
    EndOfContent: SubmissionProtocol._end_of_content,
}
