"""Why mail was refused: the class of a reply or report by the rules of ``bounces.toml``, and what that leads to."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from importlib import resources
from typing import Any

from postmeter.smtp.mail import ABOUT_US

DAY = 86_400.0
MAX_TEXT = 2048  # characters of a reply that are looked at: no rule needs more
MAX_CLAUSES = 16  # that are told apart; the rest of a longer reply is one more
REPORT = "report"  # the stage of a failure that a notification tells of, after the mail was taken
STAGES = ("sign", "route", "connect", "banner", "ehlo", "starttls", "mail", "rcpt", "data", "content", REPORT)
ABOUT_RECIPIENT = ("route", "rcpt", "data", "content", REPORT)  # where a refusal may be the address's fault
BEGINNING = 3  # letters of a word by which texts are told apart at once
FINAL_AT_MAIL = ("size", "content")  # about this message, so the same from every machine; the rest may be about ours

Parts = tuple[str, ...]  # of a text, to be found one behind the other
Texts = Mapping[str, tuple[Parts, ...]]  # by the letters they begin with

_status = re.compile(r"\d\.(?:\d{1,3}|\*)\.(?:\d{1,3}|\*)|\*\.\d{1,3}\.(?:\d{1,3}|\*)").fullmatch
_STATUS_INSIDE = re.compile(r"(?:^|[\s#(\[])([45]\.\d\.\d{1,3})(?=[\s)\]:;,-]|$)")
_ACCENTS = {**dict.fromkeys(range(0x300, 0x370)), ord("ł"): "l", ord("Ł"): "L"}  # once they stand alone
_NO_WORD = re.compile(r"[\W_]+")
_ASIDE = re.compile(r"\(([^()\s]*\s[^()]*)(?:\)|$)")  # of several words: "(connecting from …)", but not "(sender)"
_CLAUSE_END = re.compile(r"[,;!?]|\.(?=\s|$)|\s[-–/]\s|\n(?![a-z])")  # a line may end anywhere in a sentence
_IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.]\d)")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a class of failures leads to.

    ``patience``: seconds from the first such failure for which a recipient is tried again; 0: a permanent reply ends
    it, None: its lifetime. ``suppress_for``: seconds in which the address is not tried then (None: never); only an
    address that has failed ``times`` times ``within`` so many seconds.
    """

    patience: float | None = 0.0
    suppress_for: float | None = None
    times: int = 1
    within: float = 0.0


CLASSES = {
    "hard.recipient": Meaning(suppress_for=30 * DAY),  # there is no such mailbox, or it is closed
    "hard.domain": Meaning(suppress_for=7 * DAY),  # the domain does not exist or takes no mail
    "full": Meaning(patience=DAY, suppress_for=7 * DAY, times=3, within=7 * DAY),  # the mailbox has no room
    "size": Meaning(),  # the message is too large there
    "policy.auth": Meaning(),  # SPF, DKIM, DMARC or the sender's DNS is not in order
    "policy.refused": Meaning(),  # the recipient's side does not want mail from this sender
    "block.ip": Meaning(patience=None),  # it does not want mail from our address
    "rate": Meaning(patience=None),  # we send too fast or too much
    "greylist": Meaning(patience=None),  # it asks to come back in some minutes (RFC 6647)
    "content": Meaning(),  # it takes the message for spam or malware, or cannot handle its kind
    "protocol": Meaning(),  # it did not understand us
    "net": Meaning(patience=None),  # no connection, or it broke
    "tls": Meaning(patience=None),  # no agreement on encryption
    "dns": Meaning(patience=None),  # the DNS gives no answer
    "routing": Meaning(),  # it is not responsible for the domain, the mail goes round, or there is no way to it
    "server": Meaning(),  # it has trouble of its own
    "local": Meaning(),  # this relay has not sent it: a plugin, a missing key, a suspended provider
    "expired": Meaning(),  # somebody has tried long enough
    "unclassified.temporary": Meaning(patience=None),
    "unclassified.permanent": Meaning(),
}
UNCLASSIFIED = {4: "unclassified.temporary", 5: "unclassified.permanent"}


@dataclass(frozen=True, slots=True)
class Classification:
    """The class of a failure, the rule that says so (empty: none does), and whether another try would be in vain.

    ``suppress_for``: seconds in which the address is not to be tried once the failure is final; None: it may be.
    """

    name: str
    rule: str
    permanent: bool
    suppress_for: float | None = None

    @property
    def patience(self) -> float | None:
        """Seconds from the first such failure for which a recipient is tried again; None: its lifetime."""
        return 0.0 if self.permanent else CLASSES[self.name].patience or None

    @property
    def about_recipient(self) -> bool:
        """Whether it is the address that is of no use, and neither the message nor who sends it."""
        return CLASSES[self.name].suppress_for is not None

    @property
    def times(self) -> int:
        """How often this must happen before the address is suppressed,"""
        return CLASSES[self.name].times

    @property
    def within(self) -> float:
        """and within how many seconds."""
        return CLASSES[self.name].within


@dataclass(frozen=True, slots=True)
class Words:
    """What is said, as ``words`` has it, and the letters that its words begin with."""

    said: str
    beginnings: Set[str]

    @classmethod
    def of(cls, plain: str) -> Words:
        said = _words(plain)
        whole = said.split()
        return cls(said, {*whole, *(word[:2] for word in whole), *(word[:BEGINNING] for word in whole)})


class Said:
    """The text of a reply, as a whole and by clauses."""

    def __init__(self, text: str) -> None:
        self._plain = _plain(text)
        self.whole = Words.of(self._plain)

    @cached_property
    def clauses(self) -> list[Words]:
        """Each clause, and what is said in brackets as one of its own; the word ip is there for an IPv4 address."""
        text = "; ".join([_ASIDE.sub(" ", self._plain), *_ASIDE.findall(self._plain)])
        clauses = _CLAUSE_END.split(_IPV4.sub("ip", text), MAX_CLAUSES)
        return [self.whole] if clauses == [self._plain] else [Words.of(clause) for clause in clauses]


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of reasoning: all of its conditions hold (an empty one always does), also those on what is said.

    Of its ``texts`` one must be in the reply, and of the things it is ``about`` one in the same clause, whichever comes
    first: "user unknown, returned to sender" does not say that the sender is unknown.
    """

    name: str
    failure: str
    stages: frozenset[str] = frozenset()
    codes: tuple[str, ...] = ()
    statuses: tuple[tuple[str, ...], ...] = ()
    texts: Texts = field(default_factory=dict, repr=False)
    about: Texts = field(default_factory=dict, repr=False)

    def may_apply(self, stage: str, code: str, status: str) -> bool:
        """Whether it is about such replies, whatever their text."""
        return (
            (not self.stages or stage in self.stages)
            and (not self.codes or code.startswith(self.codes))
            and (not self.statuses or any(_fits(pattern, status) for pattern in self.statuses))
        )

    def holds(self, said: Said) -> bool:
        """Whether what is said is what it wants."""
        if not self.about:
            return _any_within(self.texts, said.whole)
        return any(_any_within(self.about, one) and _any_within(self.texts, one) for one in said.clauses)


class Classifier:
    """Classifies by rules of one's own (tables as in ``bounces.toml``) first, then by the shipped ones.

    No address is suppressed for more than ``longest`` seconds (0: none is). ValueError names the rule that is none.
    """

    def __init__(self, own: Mapping[str, Any] | None = None, longest: float = 30 * DAY) -> None:
        rules = (*_read(own or {}), *_shipped())
        self._longest = longest
        self._concerned = lru_cache(maxsize=2_000)(
            lambda stage, code, status: tuple(rule for rule in rules if rule.may_apply(stage, code, status))
        )

    def classify(self, stage: str, code: int, status: str, text: str) -> Classification:
        """The class of a reply of 4xx or 5xx, by the first rule that applies.

        ``stage`` is where it came, or ``REPORT``: there ``code`` may be 0, and ``status`` (RFC 3463) tells how bad.
        """
        status = status or _status_inside(code, text)
        severity = 4 if (str(code) if code else status).startswith("4") else 5
        said = Said(text)
        for rule in self._concerned(stage, str(code or severity), status):
            if rule.holds(said):
                return self._made(rule.failure, rule.name, stage, severity)
        return self._made(UNCLASSIFIED[severity], "", stage, severity)

    def _made(self, name: str, rule: str, stage: str, severity: int) -> Classification:
        meaning = CLASSES[name]
        final = meaning.patience == 0 and stage not in ABOUT_US and (stage != "mail" or name in FINAL_AT_MAIL)
        suppress_for = min(meaning.suppress_for or 0.0, self._longest) or None
        return Classification(name, rule, severity == 5 and (final or stage == REPORT), suppress_for)


def classify(stage: str, code: int, status: str, text: str) -> Classification:
    """``Classifier.classify`` by the shipped rules."""
    return _by_shipped().classify(stage, code, status, text)


def words(text: str) -> str:
    """What a reply says in small letters, without accents, addresses and punctuation, one blank around each word."""
    return _words(_plain(text))


def _plain(text: str) -> str:
    """As much of the text as is looked at, without accents."""
    text = text[:MAX_TEXT]
    return text if text.isascii() else unicodedata.normalize("NFD", text).translate(_ACCENTS)[:MAX_TEXT]


def _words(plain: str) -> str:
    kept = " ".join([word for word in plain.lower().split() if "@" not in word])  # an address may read like a reason
    return f" {_NO_WORD.sub(' ', kept).strip()} "


def _read(tables: Mapping[str, Any]) -> tuple[Rule, ...]:
    return tuple(_rule(name, table) for name, table in tables.items())


def _status_inside(code: int, text: str) -> str:
    """The enhanced status that some servers put where RFC 2034 does not look for it: (#5.1.1)."""
    found = _STATUS_INSIDE.search(text[:MAX_TEXT])
    return found[1] if found and (not code or found[1][0] == str(code)[0]) else ""


def _fits(pattern: tuple[str, ...], status: str) -> bool:
    parts = status.split(".")
    return len(parts) == 3 and all(wanted in ("*", part) for wanted, part in zip(pattern, parts, strict=True))


def _any_within(texts: Texts, what: Words) -> bool:
    """Whether one of the texts (or of none) is said; most cannot be, as no word there begins like them."""
    return not texts or any(
        _within(parts, what.said) for begin in texts.keys() & what.beginnings for parts in texts[begin]
    )


def _within(parts: Parts, said: str) -> bool:
    """Whether the parts come one behind the other, each from the beginning of a word on."""
    at = 0
    for part in parts:
        if (at := said.find(part, at)) < 0:
            return False
        at += len(part)
    return True


def _rule(name: str, table: Any) -> Rule:
    if not isinstance(table, dict):
        raise ValueError(f"{name} must be a table: [{name}]")
    if unknown := sorted(table.keys() - {"class", "stage", "code", "status", "text", "about"}):
        raise ValueError(f"[{name}] has an unknown key {unknown[0]!r}")
    if table.get("class") not in CLASSES:
        raise ValueError(f"[{name}] class must be one of {', '.join(CLASSES)}")
    stages = STAGES if CLASSES[table["class"]].suppress_for is None else ABOUT_RECIPIENT
    codes, statuses = _texts(name, table, "code"), _texts(name, table, "status")
    return Rule(
        name,
        table["class"],
        frozenset(_checked(name, "stage", _texts(name, table, "stage") or stages, stages.__contains__)),
        tuple(_checked(name, "code", codes, lambda code: code[0] in "45" and code.isdecimal() and len(code) <= 3)),
        tuple(tuple(one.split(".")) for one in _checked(name, "status", statuses, _status)),
        *(_by_beginning(_parts(name, key, one) for one in _texts(name, table, key)) for key in ("text", "about")),
    )


def _texts(name: str, table: Mapping[str, Any], key: str) -> list[str]:
    found = table.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, str) and one.strip() for one in found):
        raise ValueError(f"[{name}] {key} must be a list of texts")
    return found


def _checked(name: str, key: str, values: Iterable[str], good: Callable[[str], object]) -> list[str]:
    for value in (values := list(values)):
        if not good(value):
            raise ValueError(f"[{name}] {key} cannot be {value!r}")
    return values


def _parts(name: str, key: str, text: str) -> Parts:
    """``mailbox … full`` is ``" mailbox"`` and ``" full"``: words may go on, ``block`` finds ``blocked``."""
    parts = tuple(words(part).rstrip() for part in text.split("…"))
    if not all(parts) or len(parts[0]) < 3:
        raise ValueError(f"[{name}] {key} cannot be {text!r}")
    return parts


def _by_beginning(texts: Iterable[Parts]) -> Texts:
    """By the first word or, as that may go on, its first letters."""
    found: dict[str, tuple[Parts, ...]] = {}
    for parts in texts:
        word, *more = parts[0].split()
        begin = word if more else word[:BEGINNING]
        found[begin] = (*found.get(begin, ()), parts)
    return found


@cache
def _shipped() -> tuple[Rule, ...]:
    text = resources.files(__package__).joinpath("bounces.toml").read_text("utf-8")
    return _read(tomllib.loads(text))


@cache
def _by_shipped() -> Classifier:
    return Classifier()
