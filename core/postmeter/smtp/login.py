"""The AUTH exchange with PLAIN and LOGIN: responses in, a challenge or a Login event out (RFC 4954, 4; RFC 4616)."""

from __future__ import annotations

import binascii
import re

from postmeter.smtp.events import Login
from postmeter.smtp.replies import (
    ASK_PASSWORD,
    ASK_PLAIN,
    ASK_USER_NAME,
    AUTHENTICATION_CANCELLED,
    AUTHENTICATION_MALFORMED,
    AUTHORIZATION_REFUSED,
    UNKNOWN_MECHANISM,
)
from postmeter.smtp.reply import Refused, Reply

# RFC 4954, 8; binascii alone takes too much padding
_match_base64 = re.compile("(?:[A-Za-z0-9+/]{4})*+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?").fullmatch
_CHALLENGES = {"PLAIN": (ASK_PLAIN,), "LOGIN": (ASK_USER_NAME, ASK_PASSWORD)}


class LoginExchange:
    """One exchange; ``mechanism`` in any letter case, Refused (504) when it is not offered."""

    __slots__ = ("_challenges", "_mechanism", "_responses")

    def __init__(self, mechanism: str) -> None:
        self._mechanism = mechanism.upper()
        if self._mechanism not in _CHALLENGES:
            raise Refused(UNKNOWN_MECHANISM)
        self._challenges = _CHALLENGES[self._mechanism]
        self._responses: list[str] = []

    @property
    def challenge(self) -> Reply:
        """What the client is asked next."""
        return self._challenges[len(self._responses)]

    def respond(self, response: str, initial: bool = False) -> Login | None:
        """Takes the client's base64, ``initial`` when it came with AUTH itself; None when one more is needed.

        Raises Refused: 501 when it is cancelled or malformed, 535 for a login in the name of somebody else.
        """
        if response == "*":
            raise Refused(AUTHENTICATION_CANCELLED)
        empty = initial and response == "="  # an initial response of no octets; RFC 4954, 4
        self._responses.append("" if empty else _decode(response))
        if len(self._responses) < len(self._challenges):
            return None
        username, password = _plain(*self._responses) if self._mechanism == "PLAIN" else self._responses
        if not username or "\0" in username or "\0" in password:
            raise Refused(AUTHENTICATION_MALFORMED)
        return Login(self._mechanism, username, password)


def _decode(response: str) -> str:
    try:
        if _match_base64(response):
            return binascii.a2b_base64(response).decode()
    except UnicodeDecodeError:  # RFC 4616, 2
        pass
    raise Refused(AUTHENTICATION_MALFORMED)


def _plain(message: str) -> tuple[str, str]:
    """User name and password; nobody acts for somebody else (RFC 4616, 2)."""
    actor, _, login = message.partition("\0")
    username, nul, password = login.partition("\0")
    if not nul:
        raise Refused(AUTHENTICATION_MALFORMED)
    if actor not in ("", username):
        raise Refused(AUTHORIZATION_REFUSED)
    return username, password
