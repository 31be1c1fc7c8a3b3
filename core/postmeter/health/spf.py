"""What an SPF record says about an address: the check_host() of RFC 7208, without macros."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Literal

Address = IPv4Address | IPv6Address
Lookup = Callable[[str, str], Sequence[str]]  # the records of a name and a type; raises UnreachableError
Result = Literal["none", "neutral", "pass", "fail", "softfail"]

MOST_LOOKUPS = 10  # RFC 7208, 4.6.4
MOST_EXCHANGES = 10
_RESULTS: dict[str, Result] = {"": "pass", "+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
_TERM = re.compile(r"([+?~-]?)([a-z0-9]+)(?::([^/]*(?<!/)))?((?:/\d{1,2})?)((?://\d{1,3})?)", re.IGNORECASE)
_IP = re.compile(r"([+?~-]?)ip[46]:([0-9a-f:.]+(?:/\d{1,3})?)", re.IGNORECASE)
_MODIFIER = re.compile(r"([a-z][a-z0-9_.-]*)=(.*)", re.IGNORECASE)
_UNCOUNTED = ("all", "ip4", "ip6")


class Broken(ValueError):
    """A record that receivers cannot use (permerror); the text says why."""


def record_in(texts: Sequence[str]) -> str | None:
    """The SPF record among the TXT texts of a name; Broken when there is more than one (RFC 7208, 4.5)."""
    found = [text for text in texts if re.match(r"v=spf1(?: |$)", text, re.IGNORECASE)]
    if len(found) > 1:
        raise Broken(f"There are {len(found)} SPF records; only one is allowed.")
    return found[0] if found else None


def check(address: Address, domain: str, lookup: Lookup) -> Result:
    """Whether the domain lets this address send; Broken, or UnreachableError when the DNS gives no answer."""
    return _Check(address, lookup).of(domain)


class _Check:
    """One evaluation, which may ask the DNS only so often."""

    def __init__(self, address: Address, lookup: Lookup) -> None:
        self._address = address
        self._lookup = lookup
        self._asked = 0

    def of(self, domain: str) -> Result:
        record = record_in(self._lookup(domain, "TXT"))
        if record is None:
            return "none"
        redirect = ""
        for term in record.split()[1:]:
            if modifier := _MODIFIER.fullmatch(term):
                redirect = modifier[2] if modifier[1].lower() == "redirect" else redirect
            elif (result := self._result(term, domain)) is not None:
                return result
        return self._elsewhere(redirect) if redirect else "neutral"

    def _result(self, term: str, domain: str) -> Result | None:
        """What a mechanism that matches says."""
        if found := _IP.fullmatch(term):
            return _RESULTS[found[1]] if self._within(found[2]) else None
        found = _TERM.fullmatch(term)
        kind = found[2].lower() if found else ""
        if found is None or kind not in _MATCHES or (kind == "include" and not found[3]):
            raise Broken(f"{term[:60]!r} is nothing that an SPF record can have.")
        if kind not in _UNCOUNTED:
            self._count()
        prefix = found[4][1:] if self._address.version == 4 else found[5][2:]
        return _RESULTS[found[1]] if _MATCHES[kind](self, found[3] or domain, prefix) else None

    def _elsewhere(self, domain: str) -> Result:
        self._count()
        if (result := self.of(domain)) == "none":
            raise Broken(f"It refers to {domain}, which has no SPF record.")
        return result

    def _count(self) -> None:
        self._asked += 1
        if self._asked > MOST_LOOKUPS:
            raise Broken(f"It takes more than {MOST_LOOKUPS} look-ups, which is the limit.")

    def _within(self, network: str) -> bool:
        try:
            return self._address in ip_network(network, strict=False)
        except ValueError:
            raise Broken(f"{network[:60]!r} is no network.") from None

    def _all(self, _domain: str, _prefix: str) -> bool:
        return True

    def _include(self, domain: str, _prefix: str) -> bool:
        return self._elsewhere(domain) == "pass"

    def _a(self, domain: str, prefix: str) -> bool:
        type = "A" if self._address.version == 4 else "AAAA"
        return any(self._within(f"{one}/{prefix}" if prefix else one) for one in self._lookup(domain, type))

    def _mx(self, domain: str, prefix: str) -> bool:
        names = [text.split()[-1].rstrip(".") for text in self._lookup(domain, "MX")[:MOST_EXCHANGES]]
        return any(self._a(name, prefix) for name in names if name)

    def _never(self, _domain: str, _prefix: str) -> bool:
        return False  # ptr is obsolete (RFC 7208, 5.5); exists lives on macros


_MATCHES: dict[str, Callable[[_Check, str, str], bool]] = {
    "all": _Check._all,
    "include": _Check._include,
    "a": _Check._a,
    "mx": _Check._mx,
    "ptr": _Check._never,
    "exists": _Check._never,
}


def addresses(texts: Sequence[str]) -> tuple[Address, ...]:
    """The address records as addresses."""
    return tuple(ip_address(text) for text in texts)
