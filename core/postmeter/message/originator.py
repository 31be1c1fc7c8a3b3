"""Who a message says it is from: the domains in From and Sender (RFC 5322, 3.4 and 3.6.2).

A closed grammar instead of a forgiving parser: what could be read in two ways is refused, so that the domain which
was checked here is the domain that the recipient's server and mail program see.
"""

from __future__ import annotations

import re
from encodings import idna

from postmeter.message.header import Field, HeaderSection, malformed

MAX_MAILBOXES = 100  # nobody writes a mail with more others; each domain takes its time
_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff"  # RFC 5322, 3.2.3; RFC 6532, 3.2
_TOKEN = re.compile(rf'[ \t]*+(?:([.{_ATEXT}]++)|("[^"\\]*+(?:\\.[^"\\]*+)*+")|([<>@,])|(\())')
_COMMENT = re.compile(r"[^()\\]++|\\.|[()]")
_MAILBOX = r"(?:(?:w@w|[wq]*+)<[wq]@w>|[wq]@w)"  # w: word with dots, q: quoted string
_MAILBOX_LIST = re.compile(rf"{_MAILBOX}(?:,{_MAILBOX})*+")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*+")


def originator_domains(section: HeaderSection) -> tuple[str, ...]:
    """The domains of all mailboxes in From, the first author's first, then Sender's; lower case, A-labels, no doubles.

    Refused with 550 5.6.0 unless there is exactly one From and at most one Sender and both can be read.
    """
    authors = section.all(b"from")
    if len(authors) != 1:
        raise malformed("From: exactly one is needed, found " + (str(len(authors)) if authors else "none"))
    domains = _domains_of("From", authors[0])
    senders = section.all(b"sender")
    if len(senders) > 1:
        raise malformed(f"Sender: at most one is allowed, found {len(senders)}")
    for sender in senders:
        mailbox = _domains_of("Sender", sender)
        if len(mailbox) != 1:
            raise malformed("Sender: exactly one address is needed")
        domains += mailbox
    return tuple(dict.fromkeys(domains))


def mailbox_domains(text: str) -> list[str]:
    """The domain of every mailbox of a mailbox-list, in order; ValueError with the reason when it is not one.

    Groups, routes, domain literals, empty elements and comments with an address inside are refused. An unquoted
    address as display name is common and is read as one more address. Encoded words are words: never decoded here.
    """
    tokens: list[str] = []
    kinds: list[str] = []
    place = 0
    text = text.rstrip(" \t")
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise ValueError(f"cannot be read at {text[place : place + 20]!a}")
        place = found.end()
        if found.lastindex == 4:
            place = _end_of_comment(text, place)
            continue
        token = found[found.lastindex or 0]
        tokens.append(token)
        kinds.append("wq"[found.lastindex - 1] if found.lastindex in (1, 2) else token)
    if not tokens:
        raise ValueError("is empty")
    if not _MAILBOX_LIST.fullmatch("".join(kinds)):
        raise ValueError("is not a list of mail addresses")
    if kinds.count("@") > MAX_MAILBOXES:
        raise ValueError(f"has more than {MAX_MAILBOXES} addresses")
    return [a_labels(tokens[index + 1]) for index, kind in enumerate(kinds) if kind == "@"]


def a_labels(domain: str) -> str:
    """The domain in lower case with its U-labels as A-labels (RFC 5890); ValueError when it is not a host name."""
    name = domain.lower()
    if not name.isascii():
        name = ".".join([_a_label(label) for label in name.split(".")])
    if len(name) > 253 or not _DOMAIN.fullmatch(name):
        raise ValueError(f"has a bad domain: {domain[:60]!a}")
    return name


def _a_label(label: str) -> str:
    """One label; refused when mapping it changes it, since others may map it to another domain."""
    if label.isascii():
        return label
    try:
        if len(label) < 64 and idna.nameprep(label) == label and not idna.dots.search(label):
            return idna.ToASCII(label).decode("ascii").lower()
    except UnicodeError:
        pass
    raise ValueError(f"has a domain that must be written in its ASCII form: {label[:60]!a}")


def _end_of_comment(text: str, place: int) -> int:
    """The place behind the comment whose ``(`` is before ``place`` (RFC 5322, 3.2.2)."""
    begin, depth = place, 1
    while depth:
        found = _COMMENT.match(text, place)
        if found is None:
            raise ValueError("has a comment without end")
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        place = found.end()
    if not {"@", "<"}.isdisjoint(text[begin:place]):
        raise ValueError("has an address in a comment")
    return place


def _domains_of(name: str, field: Field) -> list[str]:
    try:
        return mailbox_domains(field.value.decode("utf-8"))
    except UnicodeDecodeError:
        raise malformed(f"{name}: is not in UTF-8") from None
    except ValueError as error:
        raise malformed(f"{name}: {error}") from None
