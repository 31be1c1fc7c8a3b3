"""One mail transaction as the sending side sees it: which command is out, what each reply means for each recipient."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from postmeter.smtp.mail import ContentWriter, Extensions, Mail, Outcome, Stage, envelope_commands, limit
from postmeter.smtp.reply import Reply
from postmeter.smtp.transcript import Exchange

LONE_DOT = b".\r\n"
RESET = b"RSET\r\n"
TOO_MANY = Reply(452, "4.5.3", "The server takes fewer recipients in one transaction (LIMITS RCPTMAX)")


class Transaction:
    """MAIL, RCPT..., DATA and the content of one mail; in one write as far as PIPELINING allows (RFC 2920, 3.1).

    ``reset`` puts RSET in front, as the transaction before was left half done. ``outcomes`` grows until it holds one
    for each recipient, those among them that the server says it has no room for (TOO_MANY); ``done`` says that the
    session may go on to the next mail, ``clean`` that it needs no RSET; ``exchange`` has what was said since ``began``.
    """

    def __init__(self, mail: Mail, extensions: Extensions, *, reset: bool, began: float = 0.0) -> None:
        self.outcomes: list[Outcome] = []
        self.done = False
        self.clean = False
        self._mail = mail
        self._size = mail.size
        envelope, count = mail.envelope, len(mail.envelope.recipients)
        if (most := limit(extensions, "RCPTMAX", count)) < count:
            envelope = replace(envelope, recipients=envelope.recipients[:most])
        self._recipients, self._beyond = range(count), range(most, count)
        self._commands = envelope_commands(envelope, self._size, extensions)
        if reset:
            self._commands.insert(0, RESET)
        self._first = 1 if reset else 0  # where MAIL is among the commands
        self._last = len(self._commands) - 1  # and where DATA is
        self._at = 0  # the command whose reply is awaited; one more than DATA's: the content's
        self._pipelining = "PIPELINING" in extensions
        self._output = b"".join(self._commands) if self._pipelining else self._commands[0]
        self.exchange = Exchange(began, self._commands, self._first, self._size, self._pipelining)
        self._accepted: list[int] = []
        self._refused = False  # all of it, at MAIL
        self._content: ContentWriter | None = None

    @property
    def stage(self) -> Stage:
        """What the next reply is about."""
        if self._at > self._last:
            return "content"
        if self._at == self._last:
            return "data"
        return "rcpt" if self._at > self._first else "mail"

    @property
    def writing(self) -> bool:
        """Content, or its final dot, is still to be written."""
        return self._content is not None and not self._content.finished

    @property
    def dot_sent(self) -> bool:
        """All of the content was handed out: from here on the server may have the mail (RFC 1047)."""
        return self._content is not None and self._content.finished

    def outgoing(self) -> bytes:
        """The octets to write now, one piece of the content at a time; empty when the server has to answer first."""
        if self._output:
            output, self._output = self._output, b""
            return output
        return self._content.next() if self._content is not None else b""

    def answer(self, reply: Reply) -> None:
        """Take the next reply; ValueError when no such reply can come here."""
        at = self._at
        wanted = reply.code == 354 if at == self._last else reply.code < 300  # RFC 5321, 4.3.2
        if reply.positive and not wanted:
            raise ValueError(f"unexpected reply: {reply}")
        self._at += 1
        if at > self._last:
            self._content_answered(reply)
        elif at == self._last:
            self._data_answered(reply)
        elif at > self._first:
            self._recipient_answered(at - self._first - 1, reply)
        elif at == self._first:
            self._mail_answered(reply)
        elif not reply.positive:
            raise ValueError(f"RSET refused: {reply}")  # RFC 5321, 4.1.1.5: there is no reason to
        if not self._pipelining and not self.done and self._at <= self._last:
            self._output = self._commands[self._at]

    def abandon(self, reply: Reply) -> None:
        """The session ends here: ``reply`` is the outcome of every recipient that has none yet."""
        decided = {outcome.recipient for outcome in self.outcomes}
        undecided = (index for index in self._recipients if index not in decided)
        self._decide(undecided, reply, self.stage)
        self.done = True

    def lost(self, reply: Reply) -> None:
        """As ``abandon``, when the server did not say so itself: behind the final dot the recipients are in doubt."""
        if self.dot_sent and self._accepted:
            self.outcomes += [Outcome(index, reply, "content", in_doubt=True) for index in self._accepted]
        self.abandon(reply)

    def _mail_answered(self, reply: Reply) -> None:
        if not reply.positive:
            self._refused = True
            self._decide(self._recipients, reply, "mail")
            self.done = not self._pipelining
        else:
            self._decide(self._beyond, TOO_MANY, "rcpt")

    def _recipient_answered(self, index: int, reply: Reply) -> None:
        if self._refused:
            return
        if reply.positive:
            self._accepted.append(index)
        else:
            self.outcomes.append(Outcome(index, reply, "rcpt"))
        if self._at == self._last and not self._accepted:
            self.done = not self._pipelining

    def _data_answered(self, reply: Reply) -> None:
        if not reply.positive:
            self._decide(self._accepted, reply, "data")
            self.done = True
        elif self._accepted:
            self._content = ContentWriter(self._mail.content, self._size)
        else:
            self._output = LONE_DOT  # RFC 2920, 3.1: DATA was taken though no recipient was

    def _content_answered(self, reply: Reply) -> None:
        if self.writing and reply.positive:
            raise ValueError(f"reply before the end of the content: {reply}")
        self._decide(self._accepted, reply, "content", delivered=reply.positive)
        self.done = True
        self.clean = not self.writing

    def _decide(self, recipients: Iterable[int], reply: Reply, stage: Stage, *, delivered: bool = False) -> None:
        self.outcomes += [Outcome(index, reply, stage, delivered) for index in recipients]
