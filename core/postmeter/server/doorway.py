"""Where a client comes in: it is welcome, turned away, or held a moment as its address has too many new sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from postmeter.server.census import Admission, Census, Closable
from postmeter.server.guard import Guard
from postmeter.server.link import Entrance, Link
from postmeter.server.refusals import Refusals
from postmeter.smtp import replies
from postmeter.smtp.reply import Reply

HELD, HELD_STEP = 30, 0.1  # how often, and after how many seconds each, a surplus session is looked at again

_TOO_MANY = {Admission.FULL: replies.OVERLOADED, Admission.CROWDED: replies.TOO_MANY_FROM_ADDRESS}


@dataclass(frozen=True)
class Visitors:
    """What a worker knows of those who come."""

    census: Census
    guard: Guard
    refusals: Refusals


class Doorway(Link):
    """A link that keeps to the limits. To be given besides: ``welcome``, ``turn_away``, and what ``Closable`` wants."""

    def __init__(self, entrance: Entrance, visitors: Visitors, implicit_tls: bool) -> None:
        super().__init__(entrance, implicit_tls)
        self._visitors = visitors
        self.held = False

    def welcome(self) -> None:
        """The session begins."""
        raise NotImplementedError

    def turn_away(self, reply: Reply) -> None:
        """The session does not begin: ``reply`` is all that is said."""
        raise NotImplementedError

    def came(self) -> None:
        """Welcome the client unless there are too many; a surplus one of an unknown address is held first.

        Its first sessions may be about to log in: then it is a server with many shops, and all of them are welcome.
        """
        admission = self._visitors.census.enter(cast(Closable, self), self.address)
        if admission is Admission.DROPPED:
            self.mute = True
            self.transport.abortConnection()
        elif admission in _TOO_MANY:
            self.refuse_entry(_TOO_MANY[admission])
        elif self.of_proxy or self._visitors.guard.may_begin(self.address):
            self.welcome()
        else:
            self.held = True
            self.read_or_wait()
            self.later(HELD_STEP, self._look_again, HELD - 1)

    def refuse_entry(self, reply: Reply) -> None:
        """Turn the client away, and let the log know."""
        self.let_go()
        self._visitors.refusals.note(self.address, reply.text)
        self.turn_away(reply)

    def let_go(self) -> None:
        """The session is not held any longer."""
        if self.held:
            self.held = False
            self.do_not_wait()

    def _look_again(self, times: int) -> None:
        if self._visitors.guard.trusted(self.address):
            self.let_go()
            self.welcome()
        elif times:
            self.later(HELD_STEP, self._look_again, times - 1)
        else:
            self.refuse_entry(replies.TOO_MANY_NEW_SESSIONS)
