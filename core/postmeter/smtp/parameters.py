"""The parameters of MAIL and RCPT (RFC 1870, RFC 3461, RFC 4954, RFC 6152, RFC 6531)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from postmeter.smtp.replies import BAD_PARAMETER, UNKNOWN_PARAMETER, message_too_large
from postmeter.smtp.reply import Refused

MAX_ENVID = 100  # characters; RFC 3461, 4.4
MAX_ORCPT = 500  # characters; RFC 3461, 4.2

# xtext (RFC 3461, 4) of printable text: an encoded control character would end up in a notification's header
_match_xtext = re.compile(r"(?:[!-*,-<>-~]|\+[2-6][0-9A-F]|\+7[0-9A-E])*+").fullmatch
_match_type = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}").fullmatch
_match_size = re.compile(r"[0-9]{1,20}").fullmatch


@dataclass(frozen=True, slots=True)
class MailParameters:
    """What MAIL said besides the path: ``size`` in octets (0: not said); the others as in the envelope."""

    size: int = 0
    body: str = "7BIT"
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""


@dataclass(frozen=True, slots=True)
class RcptParameters:
    """What RCPT said besides the path: ``notify`` in capitals, ``orcpt`` in its xtext form; empty when not said."""

    notify: str = ""
    orcpt: str = ""


NO_MAIL_PARAMETERS = MailParameters()
NO_RCPT_PARAMETERS = RcptParameters()


def parse_mail_parameters(text: str, max_message_size: int) -> MailParameters:
    """The parameters in ``text``; raises Refused: 555 unknown, 501 wrong or twice, 552 over ``max_message_size``."""
    if not text:
        return NO_MAIL_PARAMETERS
    given = _parse(text, _MAIL)
    size = int(given.get("SIZE", "0"))
    if size > max_message_size:
        raise Refused(message_too_large(max_message_size))
    return MailParameters(
        size, given.get("BODY", "7BIT"), "SMTPUTF8" in given, given.get("RET", ""), given.get("ENVID", "")
    )


def parse_rcpt_parameters(text: str) -> RcptParameters:
    """The parameters in ``text``; raises Refused: 555 unknown, 501 wrong or twice."""
    if not text:
        return NO_RCPT_PARAMETERS
    given = _parse(text, _RCPT)
    return RcptParameters(given.get("NOTIFY", ""), given.get("ORCPT", ""))


def _parse(text: str, known: Mapping[str, Callable[[str], str]]) -> dict[str, str]:
    given: dict[str, str] = {}
    if not text.isascii():
        raise Refused(BAD_PARAMETER)
    for word in text.split(" "):
        if not word:
            continue  # a second space between two parameters harms nobody
        keyword, equals, value = word.partition("=")
        keyword = keyword.upper()
        check = known.get(keyword)
        if check is None:
            raise Refused(UNKNOWN_PARAMETER)
        if keyword in given or bool(equals) is (keyword == "SMTPUTF8"):  # the one parameter without a value
            raise Refused(BAD_PARAMETER)
        given[keyword] = check(value)
    return given


def _one_of(*values: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        return value.upper() if value.upper() in values else _refuse()

    return check


def _size(value: str) -> str:
    return value if _match_size(value) else _refuse()


def _envid(value: str) -> str:
    return value if 0 < len(value) <= MAX_ENVID and _match_xtext(value) else _refuse()


def _auth(value: str) -> str:
    """Who wrote the message, in the client's words; not believed and not used (RFC 4954, 5)."""
    return value if value == "<>" or (value and _match_xtext(value)) else _refuse()


def _notify(value: str) -> str:
    value = value.upper()
    words = value.split(",")
    allowed = len(set(words)) == len(words) and {"SUCCESS", "FAILURE", "DELAY"}.issuperset(words)
    return value if value == "NEVER" or allowed else _refuse()


def _orcpt(value: str) -> str:
    kind, _, address = value.partition(";")
    fits = len(value) <= MAX_ORCPT and _match_type(kind) and address and _match_xtext(address)
    return value if fits else _refuse()


def _refuse() -> str:
    raise Refused(BAD_PARAMETER)


_MAIL: Mapping[str, Callable[[str], str]] = {
    "SIZE": _size,
    "BODY": _one_of("7BIT", "8BITMIME"),
    "SMTPUTF8": _one_of(""),
    "RET": _one_of("FULL", "HDRS"),
    "ENVID": _envid,
    "AUTH": _auth,
}
_RCPT: Mapping[str, Callable[[str], str]] = {"NOTIFY": _notify, "ORCPT": _orcpt}
