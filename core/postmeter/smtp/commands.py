"""Which command may come when (RFC 5321, 4.1.4; RFC 3207, 4; RFC 4954, 4; RFC 3030, 2), as two tables."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, auto

from postmeter.smtp.replies import (
    ALREADY_AUTHENTICATED,
    AUTHENTICATION_REQUIRED,
    CHUNKS_BEGUN,
    EHLO_FIRST,
    ENCRYPTION_REQUIRED,
    MAIL_FIRST,
    NESTED_MAIL,
    NO_VALID_RECIPIENTS,
    RCPT_FIRST,
    TLS_ACTIVE,
    TLS_REQUIRED,
    UNKNOWN_COMMAND,
)
from postmeter.smtp.reply import Reply


class State(IntEnum):
    """How far a session has come; the order is that of a session with STARTTLS."""

    CLEAR = auto()  # in clear text, nothing said
    CLEAR_GREETED = auto()  # in clear text, EHLO said
    HANDSHAKE = auto()  # STARTTLS said: no octet in clear text any more
    SECURE = auto()  # inside TLS, nothing said
    GREETED = auto()  # inside TLS, EHLO said
    READY = auto()  # logged in, no mail transaction
    MAIL = auto()  # reverse path taken
    NO_RECIPIENT = auto()  # reverse path taken, all recipients so far refused
    RCPT = auto()  # at least one recipient taken
    CHUNKS = auto()  # content begun with BDAT


_CLEAR = frozenset({"EHLO", "HELO", "NOOP", "RSET", "QUIT"})
_SECURE = _CLEAR | {"VRFY", "EXPN", "HELP"}

ALLOWED: Mapping[State, frozenset[str]] = {
    State.CLEAR: _CLEAR,
    State.CLEAR_GREETED: _CLEAR | {"STARTTLS"},
    State.HANDSHAKE: frozenset(),
    State.SECURE: _SECURE,
    State.GREETED: _SECURE | {"AUTH"},
    State.READY: _SECURE | {"MAIL"},
    State.MAIL: _SECURE | {"RCPT"},
    State.NO_RECIPIENT: _SECURE | {"RCPT"},
    State.RCPT: _SECURE | {"RCPT", "DATA", "BDAT"},
    State.CHUNKS: _SECURE | {"BDAT"},
}

_LOGGED_IN = {"AUTH": ALREADY_AUTHENTICATED, "STARTTLS": TLS_ACTIVE}
_CONTENT = ("DATA", "BDAT")
_TRANSACTION = ("MAIL", "RCPT", *_CONTENT)
_REFUSALS: Mapping[State, Mapping[str, Reply]] = {
    State.CLEAR: {"STARTTLS": EHLO_FIRST, "AUTH": ENCRYPTION_REQUIRED},
    State.CLEAR_GREETED: {"AUTH": ENCRYPTION_REQUIRED},
    State.HANDSHAKE: {},
    State.SECURE: {"STARTTLS": TLS_ACTIVE} | dict.fromkeys(("AUTH", *_TRANSACTION), EHLO_FIRST),
    State.GREETED: {"STARTTLS": TLS_ACTIVE} | dict.fromkeys(_TRANSACTION, AUTHENTICATION_REQUIRED),
    State.READY: _LOGGED_IN | dict.fromkeys(("RCPT", *_CONTENT), MAIL_FIRST),
    State.MAIL: _LOGGED_IN | {"MAIL": NESTED_MAIL} | dict.fromkeys(_CONTENT, RCPT_FIRST),
    State.NO_RECIPIENT: _LOGGED_IN | {"MAIL": NESTED_MAIL} | dict.fromkeys(_CONTENT, NO_VALID_RECIPIENTS),
    State.RCPT: _LOGGED_IN | {"MAIL": NESTED_MAIL},
    State.CHUNKS: _LOGGED_IN | dict.fromkeys(("MAIL", "RCPT", "DATA"), CHUNKS_BEGUN),  # RFC 3030, 2
}


def refusal(state: State, verb: str) -> Reply:
    """Why ``verb`` may not come in ``state``; in clear text every other command is answered by 530 (RFC 3207, 4)."""
    otherwise = TLS_REQUIRED if state < State.SECURE else UNKNOWN_COMMAND
    return _REFUSALS[state].get(verb, otherwise)
