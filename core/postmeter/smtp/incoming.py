"""The mail transaction on the receiving side: what MAIL and RCPT say grows into the envelope (RFC 5321, 3.3)."""

from __future__ import annotations

from postmeter.message.envelope import Envelope, Recipient
from postmeter.smtp.address import parse_forward_path, parse_reverse_path
from postmeter.smtp.events import Mail, Rcpt
from postmeter.smtp.limits import Limits
from postmeter.smtp.parameters import NO_MAIL_PARAMETERS, parse_mail_parameters, parse_rcpt_parameters
from postmeter.smtp.replies import BAD_ARGUMENT, TOO_MANY_RECIPIENTS, UTF8_MISSING
from postmeter.smtp.reply import Refused


def parse_mail(argument: str, limits: Limits) -> Mail:
    """What MAIL asks for (RFC 5321, 4.1.1.2); raises Refused."""
    path = parse_reverse_path(_behind("FROM:", argument))
    parameters = parse_mail_parameters(path.parameters, limits.max_message_size)
    if not parameters.smtputf8 and not path.mailbox.isascii():
        raise Refused(UTF8_MISSING)
    return Mail(path.mailbox, parameters)


class IncomingTransaction:
    """The envelope as far as it was accepted; ``recipients`` in the order they were named."""

    __slots__ = ("_limits", "_parameters", "_reverse_path", "recipients")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.clear()

    def clear(self) -> None:
        """Forgets it all (RFC 5321, 4.1.1.5)."""
        self._reverse_path = ""
        self._parameters = NO_MAIL_PARAMETERS
        self.recipients: list[Recipient] = []

    def begin(self, mail: Mail) -> None:
        """MAIL was accepted."""
        self._reverse_path = mail.reverse_path
        self._parameters = mail.parameters

    def parse_rcpt(self, argument: str) -> Rcpt:
        """What RCPT asks for (RFC 5321, 4.1.1.3); raises Refused, 452 when the envelope is full."""
        if len(self.recipients) >= self._limits.max_recipients:
            raise Refused(TOO_MANY_RECIPIENTS)
        path = parse_forward_path(_behind("TO:", argument))
        parameters = parse_rcpt_parameters(path.parameters)
        if not self._parameters.smtputf8 and not path.mailbox.isascii():
            raise Refused(UTF8_MISSING)
        return Rcpt(Recipient(path.mailbox, parameters.notify, parameters.orcpt))

    def envelope(self) -> Envelope:
        """What was accepted so far."""
        said = self._parameters
        return Envelope(self._reverse_path, tuple(self.recipients), said.body, said.smtputf8, said.ret, said.envid)


def _behind(keyword: str, argument: str) -> str:
    """The path and the parameters; a space behind the colon is common and harmless."""
    if argument[: len(keyword)].upper() != keyword:
        raise Refused(BAD_ARGUMENT)
    return argument[len(keyword) :].lstrip(" ")
