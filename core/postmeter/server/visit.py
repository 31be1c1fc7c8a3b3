"""One session over Twisted: bytes between the transport and the session machine, its content into a spool."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from twisted.python.failure import Failure

from postmeter.server.acceptance import reply_for
from postmeter.server.auth import Submitter
from postmeter.server.deadline import FAREWELL
from postmeter.server.doorway import Doorway, Visitors
from postmeter.server.link import Entrance
from postmeter.server.spool import IN_MEMORY, Spool
from postmeter.smtp import replies
from postmeter.smtp.events import Abandoned, Content, StartTls
from postmeter.smtp.reply import Reply
from postmeter.smtp.session import Session

log = logging.getLogger(__name__)

SHORT_FAREWELL = 3.0  # seconds for whoever is turned away to read why
DEFECT = Reply(421, "4.3.0", "Something went wrong here; try again later")


class Visit(Doorway):
    """Drives one session; knows no rule of SMTP itself.

    Who inherits has ``HANDLERS``: by kind of event, what gives it its answer by ``_answer``, at once or later; and may
    say how much of a content is kept in memory.
    """

    HANDLERS: ClassVar[Mapping[type, Callable[[Any, Any], None]]] = {}
    IN_MEMORY: ClassVar[int] = IN_MEMORY  # octets

    def __init__(
        self, session: Session, entrance: Entrance, visitors: Visitors, spool_folder: Path, implicit_tls: bool
    ) -> None:
        super().__init__(entrance, visitors, implicit_tls)
        self._session = session
        self._spool_folder = spool_folder
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
        self._visitors.census.leave(self, self._submitter)
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
                    self.HANDLERS[type(event)](self, event)
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
            self._spool = Spool(self._spool_folder, self.IN_MEMORY)
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

    def _accepted(self, reply: Reply, spool: Spool) -> None:
        spool.close()
        self._answer(reply)


def refusal_of(failure: Failure) -> Reply:
    """What is said instead of an answer that could not be had."""
    return reply_for(failure.value)
