"""One client over Twisted: bytes between the transport and the session machine, events to log-in and acceptance."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from postmeter.server.acceptance import Acceptance, reply_for
from postmeter.server.auth import Directory, InactiveConnection, ISubmitter, Submitter, TokenCredentials
from postmeter.server.deadline import FAREWELL
from postmeter.server.doorway import Doorway, Visitors
from postmeter.server.link import Entrance
from postmeter.server.policy import RecipientPolicy
from postmeter.server.spool import Spool
from postmeter.smtp import replies
from postmeter.smtp.events import Abandoned, Content, EndOfContent, Login, Mail, Rcpt, StartTls
from postmeter.smtp.reply import Reply
from postmeter.smtp.session import Limits, Session
from postmeter.store.connections import Access

log = logging.getLogger(__name__)

LOGIN_FAILURE_TIME = 0.3  # seconds that a failed log-in takes, whether the user name or the password is wrong
SHORT_FAREWELL = 3.0  # seconds for whoever is turned away to read why
DEFECT = Reply(421, "4.3.0", "Something went wrong here; try again later")


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


class SubmissionProtocol(Doorway):
    """Drives one session; knows no rule of SMTP itself."""

    def __init__(self, reception: Reception, implicit_tls: bool) -> None:
        super().__init__(reception.entrance, reception.visitors, implicit_tls)
        self._reception = reception
        self._session = Session(reception.hostname, reception.limits, implicit_tls)
        self._submitter: Submitter | None = None
        self._spool: Spool | None = None
        self._trouble: Reply | None = None  # why the content could not be kept
        self._busy = False  # an event waits for its answer
        self._working = False
        self._farewell = FAREWELL

    # The link's side

    def welcome(self) -> None:
        """Greet; a client that was held may have said something already."""
        self._work()
        self.read_or_wait()

    def turn_away(self, reply: Reply) -> None:
        """No greeting: the first reply is the refusal."""
        self._session.outgoing()
        self._farewell = SHORT_FAREWELL
        self._session.refuse(reply)
        self._flush()

    def received(self, text: bytes) -> None:
        """Bytes of the client."""
        if self._session.in_content:
            self.deadline.heard(self.now(), len(text))
        self._session.receive(text)
        if not (self._busy or self.held):
            self._work()

    def lost(self) -> None:
        """The link is gone; a message that was not committed is not ours."""
        self._reception.visitors.census.leave(self, self._submitter)
        self._drop_spool()
        self._session.closing = True

    def too_late(self) -> None:
        """The client has taken too long; while an answer is ours to give, no time runs out."""
        if not (self._busy or self.held):
            self._session.refuse(replies.TIMED_OUT)
            self._flush()

    def full(self) -> bool:
        """Whether enough waits behind the open event; of who is held not even a handshake is looked at."""
        return self.held or (self._busy and self._session.wants_pause)

    @property
    def answering(self) -> bool:
        """Whether an answer is ours to give."""
        return self._busy

    def shut_down(self) -> None:
        """The server stops: end the session after what is under way."""
        if self.held:
            self.let_go()
            self.turn_away(replies.SHUTTING_DOWN)
            return
        self._session.shut_down()
        self._flush()

    def cut(self) -> None:
        """The server does not wait any longer: whoever still sends a message has to send it again."""
        self._session.refuse(replies.SHUTTING_DOWN)
        self._flush()

    def make_room(self) -> None:
        """Nobody has logged in, and others of this address wait."""
        self._farewell = SHORT_FAREWELL
        self._session.refuse(replies.MADE_ROOM)
        self._flush()

    @property
    def under_way(self) -> bool:
        """Whether a message is being received, or an answer is ours to give."""
        return not self._session.closing and (self.held or self._busy or self._session.in_content)

    # The session's side

    def _work(self) -> None:
        """Answer events until one needs time; then what was said goes out in one write."""
        self._working = True
        try:
            while not (self._busy or self.mute) and (event := self._session.poll()) is not None:
                if type(event) is Content:
                    self._keep(event)
                elif type(event) is Abandoned:
                    self._drop_spool()
                    self._trouble = None
                else:
                    self._busy = True
                    _HANDLERS[type(event)](self, event)
        except Exception as error:
            self._stumble(error)
        self._working = False
        self._flush()

    def _answer(self, reply: Reply) -> None:
        """Answer the open event, at once or later."""
        self._busy = False
        self._session.answer(reply)
        if self._working:
            return
        self._work()
        self.read_or_wait()

    def _stumble(self, error: BaseException | None) -> None:
        """A defect: the client is told to come back, the process lives on."""
        log.error("a session failed because of a defect", exc_info=error)
        if self._busy:
            self._busy = False
            self._session.answer(DEFECT)
        else:
            self._session.refuse(DEFECT)

    def _stumbled(self, failure: Failure) -> None:
        """The same, where an answer came later."""
        self._stumble(failure.value)
        self._flush()

    def _flush(self) -> None:
        out = self._session.outgoing()
        if not self.connected:
            return
        in_content = self._session.in_content
        if out:
            self.write(out)
        if out or in_content != self.deadline.in_content:
            self.deadline.answered(self.now(), in_content)
        if (self._session.closing or self.ended or self.mute) and not self._busy:
            self._session.closing = True
            if not self._leaving:
                self.leave(self._farewell)

    def _keep(self, event: Content) -> None:
        if self._trouble is not None:
            return  # the rest of the content is read, for the reply comes behind its end
        if self._spool is None:
            self._spool = Spool(self._reception.spool_folder)
        try:
            self._spool.write(event.block)
        except OSError as error:
            self._trouble = reply_for(error)
            self._drop_spool()

    def _drop_spool(self) -> None:
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def _start_tls(self, _event: StartTls) -> None:
        self._answer(replies.READY_FOR_TLS)
        if self._session.closing:
            return
        self.write(self._session.outgoing())
        self.start_tls()
        self._session.tls_started()

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
        d.addCallback(self._renewed).addErrback(_reply_for)
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
            answer.addErrback(_reply_for).addCallback(self._answer).addErrback(self._stumbled)

    def _end_of_content(self, event: EndOfContent) -> None:
        refusal, self._trouble = event.flaw or self._trouble, None
        if refusal is not None or self._submitter is None:
            self._drop_spool()
            self._answer(refusal or replies.AUTHENTICATION_REQUIRED)
            return
        spool, self._spool = self._spool or Spool(self._reception.spool_folder), None
        d = self._reception.acceptance.accept(self._submitter.access, event.envelope, spool)
        d.addErrback(_reply_for)
        d.addCallback(self._accepted, spool).addErrback(self._stumbled)

    def _accepted(self, reply: Reply, spool: Spool) -> None:
        spool.close()
        self._answer(reply)


def _reply_for(failure: Failure) -> Reply:
    return reply_for(failure.value)


_HANDLERS: Mapping[type, Callable[[SubmissionProtocol, Any], None]] = {
    StartTls: SubmissionProtocol._start_tls,
    Login: SubmissionProtocol._log_in,
    Mail: SubmissionProtocol._mail,
    Rcpt: SubmissionProtocol._rcpt,
    EndOfContent: SubmissionProtocol._end_of_content,
}
