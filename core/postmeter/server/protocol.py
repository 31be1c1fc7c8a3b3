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
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import ContextFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from postmeter.server.acceptance import Acceptance, reply_for
from postmeter.server.auth import Directory, InactiveConnection, ISubmitter, Submitter, TokenCredentials
from postmeter.server.census import Census
from postmeter.server.spool import Spool
from postmeter.smtp import replies
from postmeter.smtp.events import Content, EndOfContent, Login, Mail, Rcpt, StartTls
from postmeter.smtp.reply import Reply
from postmeter.smtp.session import Limits, Session
from postmeter.store.connections import Access

log = logging.getLogger(__name__)

COMMAND_TIMEOUT = 300.0  # seconds for the next command to be complete (RFC 5321, 4.5.3.2.7)
LOGIN_TIMEOUT = 60.0  # seconds a session has until it has logged in
CONTENT_TIMEOUT = 1800.0  # seconds for all of a content
FAREWELL_TIMEOUT = 30.0  # seconds for a client to read its last reply, then the link is cut
DEFECT = Reply(421, "4.3.0", "Something went wrong here; try again later")


@dataclass(frozen=True)
class Reception:
    """What all sessions of a worker share. ``tls`` is asked for each session, so certificates may change."""

    hostname: str
    limits: Limits
    portal: Portal
    directory: Directory
    acceptance: Acceptance
    census: Census
    tls: ContextFactory
    spool_folder: Path
    reactor: Any


@implementer(IHandshakeListener, IPushProducer)
class SubmissionProtocol(Protocol):
    """Drives one session; knows no rule of SMTP itself."""

    transport: Any  # plain TCP or TLS over it; Twisted's interfaces do not name all that both have

    def __init__(self, reception: Reception, implicit_tls: bool) -> None:
        self._reception = reception
        self._implicit_tls = implicit_tls
        self._session = Session(reception.hostname, reception.limits, implicit_tls)
        self._submitter: Submitter | None = None
        self._spool: Spool | None = None
        self._trouble: Reply | None = None  # why the content could not be kept
        self._busy = False  # an event waits for its answer
        self._working = False
        self._paused = False
        self._clogged = False
        self._in_content = False
        self._leaving = False  # the last reply is on its way
        self._deadline = 0.0
        self._timer: IDelayedCall | None = None
        self._peer = ""

    # The transport's side

    def connectionMade(self) -> None:
        """Greet, or turn away when there are too many sessions."""
        self.transport.setTcpNoDelay(True)
        if not self._implicit_tls:  # a handshake must be read while its answer waits: with TLS only after it
            self.transport.registerProducer(self, True)
        self._peer = self.transport.getPeer().host
        self._deadline = self._now() + LOGIN_TIMEOUT
        self._timer = self._reception.reactor.callLater(LOGIN_TIMEOUT, self._check_deadline)
        if not self._reception.census.enter(self, self._peer):
            self._session.outgoing()  # no greeting: the first reply is the refusal
            self._session.refuse(replies.OVERLOADED)
        self._flush()

    def handshakeCompleted(self) -> None:
        """TLS is up; after STARTTLS Twisted has brought the producer along itself."""
        if self._implicit_tls and self.connected and not self._session.closing:
            self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the client."""
        self._session.receive(data)
        if not self._busy:
            self._work()
        self._read_or_wait()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The link is gone; a message that was not committed is not ours."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.connected = 0
        self._reception.census.leave(self, self._peer, self._submitter)
        self._drop_spool()
        self._session.closing = True

    def pauseProducing(self) -> None:
        """The client does not read its replies: take nothing from it meanwhile."""
        self._clogged = True
        self._read_or_wait()

    def resumeProducing(self) -> None:
        """The client reads again."""
        self._clogged = False
        self._read_or_wait()

    def stopProducing(self) -> None:
        """The link is going down; ``connectionLost`` follows."""

    def shut_down(self) -> None:
        """The server stops: end the session after what is under way."""
        self._session.shut_down()
        self._flush()

    # The session's side

    def _work(self) -> None:
        """Answer events until one needs time; then what was said goes out in one write."""
        self._working = True
        try:
            while not self._busy and (event := self._session.poll()) is not None:
                if type(event) is Content:
                    self._keep(event)
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
        self._read_or_wait()

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

    def _read_or_wait(self) -> None:
        """Read on only while neither commands nor replies pile up; at the end until the client has closed, too."""
        wait = (self._clogged or (self._busy and self._session.wants_pause)) and not self._leaving
        if wait != self._paused and self.connected:
            self._paused = wait
            (self.transport.pauseProducing if wait else self.transport.resumeProducing)()

    def _flush(self) -> None:
        out = self._session.outgoing()
        if not self.connected:
            return
        if out:
            self.transport.write(out)
            self._progress()
        if self._session.closing and not self._busy and not self._leaving:
            self._leave()

    def _leave(self) -> None:
        """Close the link behind the last reply; whoever does not read it is cut off after a while."""
        self._leaving = True
        self._deadline = self._now() + FAREWELL_TIMEOUT
        if self._timer is not None:
            self._timer.reset(FAREWELL_TIMEOUT)
        self._read_or_wait()
        self.transport.unregisterProducer()  # as long as there is one, the link is not closed
        self.transport.loseConnection()

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
        transport = self.transport
        self._answer(replies.READY_FOR_TLS)
        if self._session.closing:
            return
        transport.write(self._session.outgoing())
        transport.startTLS(self._reception.tls)
        self._session.tls_started()

    def _log_in(self, event: Login) -> None:
        credentials = TokenCredentials(event.username, event.password)
        d: Deferred[Any] = self._reception.portal.login(credentials, None, ISubmitter)
        d.addCallbacks(self._logged_in, self._not_logged_in)
        d.addCallback(self._answer).addErrback(self._stumbled)

    def _logged_in(self, result: tuple[object, Submitter, Callable[[], None]]) -> Reply:
        submitter = result[1]
        if not self.connected:
            return replies.AUTHENTICATION_UNAVAILABLE  # it has left the census already
        if not self._reception.census.log_in(submitter):
            return replies.TOO_MANY_SESSIONS
        self._submitter = submitter
        return replies.AUTHENTICATED

    def _not_logged_in(self, failure: Failure) -> Reply:
        if isinstance(failure.value, InactiveConnection):
            return replace(replies.connection_inactive(str(failure.value)), code=535, status="5.7.8")
        if isinstance(failure.value, UnauthorizedLogin):
            return replies.AUTHENTICATION_FAILED
        log.error("a log-in could not be checked", exc_info=failure.value)
        return replies.AUTHENTICATION_UNAVAILABLE

    def _mail(self, _event: Mail) -> None:
        """A session may last for long: what has changed since its log-in holds for its next message."""
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
        if submitter is None or access is None or access.secret != submitter.access.secret:
            return replies.ACCESS_CHANGED
        if access.reason:
            return replies.connection_inactive(access.reason)
        if access is not submitter.access:
            self._submitter = Submitter(access)
        return replies.SENDER_OK

    def _rcpt(self, event: Rcpt) -> None:
        qualified = "@" in event.recipient.forward_path  # RFC 6409, 4.2: nothing is local here
        self._answer(replies.RECIPIENT_OK if qualified else replies.NO_SUCH_DOMAIN)

    def _end_of_content(self, event: EndOfContent) -> None:
        self._in_content = False
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

    # Time

    def _now(self) -> float:
        seconds: float = self._reception.reactor.seconds()
        return seconds

    def _progress(self) -> None:
        """Something was answered. Set the time for what comes next: for a command anew, for all of a content once.

        Until log-in it is not moved at all.
        """
        if self._session.in_content:
            if not self._in_content:
                self._deadline = self._now() + CONTENT_TIMEOUT
        elif self._submitter is not None:
            self._deadline = self._now() + COMMAND_TIMEOUT
        self._in_content = self._session.in_content

    def _check_deadline(self) -> None:
        """One timer for the whole session: it looks whether the deadline has moved on meanwhile."""
        self._timer = None
        if self._deadline <= self._now() and not self._busy:
            if self._leaving:
                self.transport.abortConnection()
                return
            self._session.refuse(replies.TIMED_OUT)
            self._flush()
        if self.connected:
            left = self._deadline - self._now()
            self._timer = self._reception.reactor.callLater(max(left, 1.0), self._check_deadline)


def _reply_for(failure: Failure) -> Reply:
    return reply_for(failure.value)


_HANDLERS: Mapping[type, Callable[[SubmissionProtocol, Any], None]] = {
    StartTls: SubmissionProtocol._start_tls,
    Login: SubmissionProtocol._log_in,
    Mail: SubmissionProtocol._mail,
    Rcpt: SubmissionProtocol._rcpt,
    EndOfContent: SubmissionProtocol._end_of_content,
}
