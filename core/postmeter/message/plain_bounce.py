"""Bounces in their sender's own words: what they mean, whom they are about, and what the last reply was."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from postmeter.message import wording
from postmeter.message.parts import Header, Mail
from postmeter.message.statement import DELAYED, FAILED, MAX_DIAGNOSTIC, Kind, Report, Statement, codes

MAX_READ = 16_384  # characters
MAX_RECIPIENTS = 20
FAR = 10  # lines behind an address in which its diagnostic stands

_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\u00a1-\uffff-]{1,64}@[A-Za-z0-9\u00a1-\uffff.-]{1,253}")
_NAMED = ("x-failed-recipients", "x-failed-recipient", "x-actual-recipient")


def read(mail: Mail, *, null_sender: bool) -> Report:
    """What the mail is, judged by who sends it and by its words."""
    subject = mail.header.get("subject")[:1000]
    text = _own_words(mail)
    said = " ".join(f"{subject}\n{text}".lower().split())
    daemon = _is_daemon(mail.header)
    machine = _answers_by_itself(mail.header, subject.lower())
    if _any(wording.CHALLENGES, said) or (machine and not daemon):
        return Report(Kind.AUTOMATIC)
    action = _action(mail.header, said)
    if action and (daemon or null_sender):
        return Report(Kind.NOTIFICATION, tuple(_statements(action, mail.header, text)))
    return Report(Kind.AUTOMATIC if machine else Kind.OTHER)


def _own_words(mail: Mail) -> str:
    """The text up to where the returned mail is quoted."""
    part = next(mail.of("text/plain"), None) or next(mail.of("text/html"), None)
    text = part.text[:MAX_READ] if part else ""
    lower = text.lower()
    if len(lower) != len(text):  # a few letters become two
        return text
    places = [place for mark in wording.QUOTED if (place := lower.find(mark)) > 0]
    return text[: min(places, default=len(text))]


def _is_daemon(header: Header) -> bool:
    author = f"{header.get('from')} {header.get('x-failed-recipients')}"[:1000].lower()
    return bool(header.get("x-failed-recipients")) or _any(wording.DAEMONS, author)


def _answers_by_itself(header: Header, subject: str) -> bool:
    """Whether a machine has answered for a person (RFC 3834, 5), by its word or by its subject."""
    replied = header.get("auto-submitted").lower().startswith(("auto-replied", "auto-generated"))
    marked = header.get("precedence").lower() == "auto_reply" or any(
        header.get(name) for name in ("x-autoreply", "x-autorespond", "x-autoresponder", "x-auto-reply-from")
    )
    return replied or marked or _any(wording.ABSENT, subject)


def _action(header: Header, said: str) -> str:
    if _any(wording.DELAYED, said):
        return DELAYED
    return FAILED if _any(wording.FAILED, said) or any(header.get(name) for name in _NAMED) else ""


def _statements(action: str, header: Header, text: str) -> Iterator[Statement]:
    """One for each address, with what stands behind it; one without any when there is none."""
    lines = [line.strip() for line in text.splitlines()]
    own = {*_ADDRESS.findall(header.get("from")[:1000].lower()), *_ADDRESS.findall(header.get("to")[:1000].lower())}
    named = [one for name in _NAMED for value in header.all(name) for one in _ADDRESS.findall(value[:2000])]
    places = dict(_places(lines, own))
    for address in [*named, *(one for one in places if one not in named)][:MAX_RECIPIENTS]:
        yield _statement(action, address, _diagnostic(lines, places.get(address), set(places.values())))
    if not (named or places):
        yield _statement(action, "", _diagnostic(lines, None, set()))


def _places(lines: list[str], own: set[str]) -> Iterator[tuple[str, int]]:
    """Addresses, and the last line in which each stands: what comes first is often a list of them."""
    for number, line in enumerate(lines):
        for address in _ADDRESS.findall(line[:1000])[:MAX_RECIPIENTS]:
            if address.lower() not in own and not _any(wording.DAEMONS, address.lower()):
                yield address.strip(".'`"), number


def _diagnostic(lines: list[str], place: int | None, others: set[int]) -> str:
    """From the line of an address on until the next one's; if there is no reply in it, all that was said."""
    if place is not None:
        end = next((n for n in range(place + 1, len(lines)) if n in others or n > place + FAR), len(lines))
        own = " ".join(line for line in lines[place:end] if line)
        if any(codes(own)):
            return own[:MAX_DIAGNOSTIC]
    return " ".join(line for line in lines if line)[:MAX_DIAGNOSTIC]


def _statement(action: str, address: str, diagnostic: str) -> Statement:
    code, status = codes(diagnostic)
    return Statement(action, final=address, code=code, status=status, diagnostic=diagnostic)


def _any(phrases: Iterable[str], text: str) -> bool:
    return any(phrase in text for phrase in phrases)
