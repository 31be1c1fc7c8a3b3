"""What the server's side of any SMTP dialogue has: what came, what is to be said, an open event, patience, an end."""

from __future__ import annotations

from functools import lru_cache

from postmeter.smtp import replies
from postmeter.smtp.events import Question
from postmeter.smtp.limits import Limits
from postmeter.smtp.lines import Hopeless, LineReader
from postmeter.smtp.patience import Patience, Trial
from postmeter.smtp.reply import Reply

MAX_WAITING = 65536  # octets that may wait behind an open event before the driver should stop reading

_encode = lru_cache(maxsize=64)(Reply.encode)


class Dialogue:
    """Begins with the greeting; ``closing`` says that the link is to be closed after outgoing() is written."""

    __slots__ = ("_farewell", "_lines", "_open", "_out", "_patience", "closing")

    def __init__(self, hostname: str, limits: Limits) -> None:
        self._lines = LineReader(limits)
        self._out = [replies.greeting(hostname).encode()]
        self._open: Question | None = None
        self._farewell: Reply | None = None
        self._patience = Patience(limits)
        self.closing = False

    @property
    def wants_pause(self) -> bool:
        """Whether so much waits behind the open event that no more should be read for now."""
        return len(self._lines.buffer) > MAX_WAITING

    def outgoing(self) -> bytes:
        """All replies since the last call, for one write."""
        out = b"".join(self._out)
        self._out.clear()
        return out

    def refuse(self, reply: Reply) -> None:
        """Says ``reply`` (421) and closes; while an event is open, behind its answer, which is awaited."""
        if self._open is not None:
            self._farewell = reply
        elif not self.closing:
            self._close(reply)

    def shut_down(self) -> None:
        """Ends the session because the server stops (RFC 5321, 3.8)."""
        self.refuse(replies.SHUTTING_DOWN)

    def _say(self, reply: Reply) -> None:
        self._out.append(_encode(reply))
        if reply.code == 421:  # RFC 5321, 3.8: it announces the end, whoever gave it
            self.closing = True
            self._lines.clear()

    def _close(self, reply: Reply) -> None:
        if not self.closing:
            self._say(reply)
        self.closing = True
        self._lines.clear()

    def _junk(self) -> None:
        """A command came that is not about a message; Hopeless when it is one too many."""
        farewell = self._patience.tried(Trial.JUNK)
        if farewell is not None:
            raise Hopeless(farewell)

    def _complain(self, trial: Trial, reply: Reply) -> None:
        """Says ``reply``, which is a refusal, unless it is one too many."""
        farewell = self._patience.tried(trial)
        if farewell is None:
            self._say(reply)
        else:
            self._close(farewell)
