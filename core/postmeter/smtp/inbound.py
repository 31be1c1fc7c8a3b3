"""The session on port 25, where other servers bring reports: nobody logs in, and TLS is offered but not required."""

from __future__ import annotations

from postmeter.smtp import replies
from postmeter.smtp.commands import ALLOWED, State
from postmeter.smtp.commands import refusal as refusal_of_submission
from postmeter.smtp.events import Abandoned
from postmeter.smtp.limits import Limits
from postmeter.smtp.reply import Reply
from postmeter.smtp.session import Session

_LOGGED_IN = State.READY  # here by EHLO alone
INSIDE_TLS = {**ALLOWED, State.RCPT: ALLOWED[State.RCPT] - {"BDAT"}}
IN_CLEAR = {**INSIDE_TLS, _LOGGED_IN: INSIDE_TLS[_LOGGED_IN] | {"STARTTLS"}}


def refusal(state: State, verb: str) -> Reply:
    """Why ``verb`` may not come in ``state``."""
    if verb == "AUTH":
        return replies.NO_LOGIN
    if verb == "STARTTLS" and state is State.SECURE:
        return replies.EHLO_FIRST
    return refusal_of_submission(state, verb)


class InboundSession(Session):
    """A server's dialogue with us; it begins in clear text."""

    __slots__ = ("_secured",)
    _offers, _refusal = staticmethod(replies.ehlo_to_reporters), staticmethod(refusal)

    def __init__(self, hostname: str, limits: Limits) -> None:
        self._secured = False
        super().__init__(hostname, limits, tls=True)  # as far as the order of commands goes, it is no worse
        self._allowed = IN_CLEAR

    @property
    def tls(self) -> bool:
        """Whether the session is encrypted."""
        return self._secured

    def tls_started(self) -> None:
        """TLS is up: all that was said in clear text is forgotten (RFC 3207, 4.2)."""
        super().tls_started()
        self._secured = True
        self._allowed = INSIDE_TLS

    def _greet(self, argument: str, reply: Reply) -> Abandoned | None:
        abandoned = super()._greet(argument, reply)
        self._idle = self._state = _LOGGED_IN
        return abandoned
