"""Which domains of recipients can exist in the DNS, as far as that can be told without asking it."""

from __future__ import annotations

import unicodedata

MAX_NAME = 253  # octets of a host name; RFC 1035, 2.3.4 less the length octets around it
MAX_LABEL = 63  # octets; RFC 1035, 2.3.4

_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp", "Zs"})  # categories of what nobody sees or means the same by
_JOINERS = "\u200c\u200d"  # RFC 5892, A.1 and A.2: in some scripts they are part of a word
_DOTS = frozenset(".\u3002\uff0e\uff61")  # RFC 3490, 3.1: some servers take them all for a dot


def can_exist(domain: str) -> bool:
    """Whether mail servers could be found for ``domain``, which fits the grammar and is no address literal.

    It cannot without a dot, with a last label of digits (RFC 3696, 2), or when it has no form for the DNS (RFC 5890).
    """
    dot = domain.rfind(".")
    if dot < 0 or domain[dot + 1 :].isdecimal():
        return False
    if domain.isascii():
        return len(domain) <= MAX_NAME
    labels = [_a_label(label) for label in domain.split(".")]
    return all(0 < len(label) <= MAX_LABEL for label in labels) and len(".".join(labels)) <= MAX_NAME


def _a_label(label: str) -> str:
    """The label as it stands in the DNS, in capitals or not; empty when it has no such form (RFC 5890, 2.3.2.1)."""
    if label.isascii():
        return label
    if any(unicodedata.category(char) in _UNSEEN and char not in _JOINERS for char in label):
        return ""
    mapped = unicodedata.normalize("NFKC", label.lower())  # as resolvers do: UTS 46, 4
    if not _DOTS.isdisjoint(mapped):
        return ""
    return mapped if mapped.isascii() else f"xn--{mapped.encode('punycode').decode()}"
