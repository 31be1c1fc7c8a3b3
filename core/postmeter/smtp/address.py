"""Paths and mailboxes by the strict grammar of RFC 5321, 4.1.2 (and RFC 6531, 3.3), kept as they were received."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from postmeter.smtp.domain import can_exist
from postmeter.smtp.replies import BAD_RECIPIENT, BAD_SENDER, NO_SUCH_DOMAIN
from postmeter.smtp.reply import Refused

MAX_LOCAL = 64  # octets; RFC 5321, 4.5.3.1.1
MAX_DOMAIN = 255  # octets; RFC 5321, 4.5.3.1.2
MAX_PATH = 256  # octets with the brackets; RFC 5321, 4.5.3.1.3

# Every repetition is possessive: what was matched is never tried again, so the time is linear.
_UTF8 = "\u00a1-\u2027\u202a-\ud7ff\ue000-\U0010ffff"  # no C1 controls, line separators or surrogates
_ATOM = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{_UTF8}-]++"
_QUOTED = rf'"(?:[ !#-\[\]-~{_UTF8}]|\\[ -~])++"'  # not empty: RFC 5321, erratum 5414
_LABEL = rf"(?!-)[A-Za-z0-9{_UTF8}-]{{1,63}}+(?<!-)"  # RFC 1035, 2.3.4
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*+"
_MAILBOX = rf"((?:{_ATOM}(?:\.{_ATOM})*+|{_QUOTED}))@({_DOMAIN}|\[[!-Z^-~]++\])"
_ROUTE = rf"(?:@{_DOMAIN}(?:,@{_DOMAIN})*+:)?+"  # RFC 5321, appendix C: accepted and ignored

_match_mailbox = re.compile(_MAILBOX).fullmatch
_match_path = re.compile(rf"(<{_ROUTE}({_MAILBOX})>)(?: (.*))?").fullmatch
_match_null = re.compile(r"<>(?: (.*))?").fullmatch
_match_postmaster = re.compile(r"<(postmaster)>(?: (.*))?", re.IGNORECASE | re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address in its two parts, each as received: quotes, letter case and all; ``str`` joins them again."""

    local: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> Mailbox:
        """The mailbox that the whole of ``text`` is; ValueError when it is none."""
        match = _match_mailbox(text)
        if match is None:
            raise ValueError(f"not a mailbox: {text[:80]!r}")
        local, domain = match.groups()
        if not _fits(text, local, domain):
            raise ValueError(f"not a mailbox: {text[:80]!r}")
        return cls(local, domain)

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


@dataclass(frozen=True, slots=True)
class Path:
    """``mailbox`` as received, without brackets and source route; ``parameters`` is the text behind the path."""

    mailbox: str
    parameters: str


def parse_reverse_path(text: str) -> Path:
    """The path that MAIL names, empty for ``<>``; raises Refused (501 5.1.7)."""
    if match := _match_path(text):
        path, mailbox, local, domain, parameters = match.groups()
        if _fits(path, local, domain):
            return Path(mailbox, parameters or "")
    elif match := _match_null(text):
        return Path("", match[1] or "")
    raise Refused(BAD_SENDER)


def parse_forward_path(text: str) -> Path:
    """The path that RCPT names; raises Refused (501 5.1.3; 550 5.1.2 when the domain cannot exist).

    An address literal is refused: it would name a machine around the DNS. ``<Postmaster>`` needs no domain
    (RFC 5321, 4.1.1.3).
    """
    if match := _match_path(text):
        path, mailbox, local, domain, parameters = match.groups()
        if not _fits(path, local, domain) or domain[0] == "[":
            raise Refused(BAD_RECIPIENT)
        if not can_exist(domain):
            raise Refused(NO_SUCH_DOMAIN)
        return Path(mailbox, parameters or "")
    if match := _match_postmaster(text):
        return Path(match[1], match[2] or "")
    raise Refused(BAD_RECIPIENT)


def _fits(path: str, local: str, domain: str) -> bool:
    if len(path) <= MAX_LOCAL and path.isascii():
        pass  # then no part of it can be too long
    elif _octets(local) > MAX_LOCAL or _octets(domain) > MAX_DOMAIN or _octets(path) > MAX_PATH:
        return False
    return domain[0] != "[" or _is_address(domain[1:-1])


def _octets(text: str) -> int:
    return len(text.encode())


def _is_address(text: str) -> bool:
    """Whether this is the inside of an address literal (RFC 5321, 4.1.3)."""
    try:
        if text[:5].upper() == "IPV6:":
            return "%" not in text and bool(IPv6Address(text[5:]))
        return bool(IPv4Address(text))
    except ValueError:
        return False
