"""What of the queue is meant, for command line and panel: ``domain:example.org error:"mailbox full"``."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, func, literal_column, or_, select
from sqlalchemy.orm import Session

from postmeter.errors import UsageError
from postmeter.message.bounce import CLASSES
from postmeter.store.tables import DEFERRED, HELD, LEASED, QUEUED, Account, Connection, Recipient

ALL = "all"  # the filter that matches whatever waits
STATES = (QUEUED, LEASED, DEFERRED, HELD)
MOST = 1_000  # characters

# The parts of the queue, each with an index of its own: SQLite reads the condition, so it is written out.
PARTS: dict[tuple[str, ...], ColumnElement[bool]] = {
    (QUEUED, DEFERRED): Recipient.state.in_([literal_column(f"'{state}'") for state in (QUEUED, DEFERRED)]),
    (HELD,): Recipient.state == literal_column(f"'{HELD}'"),
    (LEASED,): Recipient.lease_owner.is_not(None),
}


@dataclass(frozen=True)
class Filter:
    """Conditions that all hold: the name of each and its value, in the order in which they were given."""

    conditions: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Filter:
        """Read ``name:value`` words; UsageError says which one cannot be understood."""
        try:
            return cls.of(shlex.split(_short(text)))
        except ValueError:
            raise UsageError("a quotation mark in the filter is not closed") from None

    @classmethod
    def of(cls, words: Iterable[str]) -> Filter:
        """The same when the words are known; what it is written as can be read again."""
        made = cls(tuple(_condition(word) for word in words if word != ALL))
        _short(str(made))
        return made

    def __str__(self) -> str:
        return " ".join(f"{name}:{shlex.quote(value)}" for name, value in self.conditions) or ALL

    def has(self, name: str) -> bool:
        """Whether there is a condition of this name."""
        return any(name == one for one, _ in self.conditions)

    def without(self, name: str) -> Filter:
        """The other conditions."""
        return Filter(tuple(one for one in self.conditions if one[0] != name))

    def check(self, session: Session) -> None:
        """UsageError when it names an account or a connection that is not there."""
        for name, value in self.conditions:
            if name in _KNOWN and session.scalar(_KNOWN[name](value).limit(1)) is None:
                raise UsageError(f"there is no {name} {value!r}")

    def clauses(self) -> list[ColumnElement[bool]]:
        """The same in SQL."""
        return [_CLAUSES[name](value) for name, value in self.conditions]


def _short(text: str) -> str:
    if len(text) > MOST:
        raise UsageError(f"a filter has at most {MOST:,} characters")
    return text


def _condition(word: str) -> tuple[str, str]:
    name, colon, value = word.partition(":")
    if not (colon and value and name in _CLAUSES and "\0" not in value):  # no database takes that everywhere
        raise UsageError(f"{word!r} is no condition; there are: {', '.join(f'{name}:…' for name in _CLAUSES)}")
    if name == "state" and value not in STATES:
        raise UsageError(f"nothing waits in the state {value!r}; there are: {', '.join(STATES)}")
    if name == "class" and not any(known == value or known.startswith(f"{value}.") for known in CLASSES):
        raise UsageError(f"there is no class {value!r}; there are: {', '.join(CLASSES)}")
    return name, value


def _account(name: str) -> Select[int]:
    return select(Account.id).where(Account.name == name)


def _connection(name: str) -> Select[int]:
    return select(Connection.id).where(or_(Connection.username == name, Connection.name == name))


_KNOWN = {"account": _account, "connection": _connection}
_CLAUSES: dict[str, Callable[[str], ColumnElement[bool]]] = {
    "account": lambda name: Recipient.account_id.in_(_account(name)),
    "connection": lambda name: Recipient.connection_id.in_(_connection(name)),
    "domain": lambda name: Recipient.forward_path.iendswith(f"@{name.removeprefix('@')}", autoescape=True),
    "provider": lambda name: func.lower(Recipient.provider) == name.lower(),
    "state": lambda state: Recipient.state == state,
    "class": lambda name: (Recipient.failure == name) | Recipient.failure.startswith(f"{name}.", autoescape=True),
    "error": lambda words: Recipient.reply.icontains(words, autoescape=True),
    "route": lambda hop: Recipient.route == hop.lower(),
    "message": lambda identifier: Recipient.message_id == identifier.upper(),
}
