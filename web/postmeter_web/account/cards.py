"""Settings cards: what to enter where in a shop system, with the values of a connection."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from postmeter.endpoint import Endpoint
from postmeter_web.languages import language

OTHER = "other"  # the system that every one can be
SENDER = "shop"  # in the sender's address that cards propose


@dataclass(frozen=True)
class Access:
    """What the values of a card are made of; ``password`` may be words that stand for one that is not shown."""

    host: str
    port: int
    username: str
    password: str = field(repr=False)
    domain: str


@dataclass(frozen=True)
class Value:
    """A field of a system's form and what is entered there; None: it is switched on."""

    label: str
    text: str | None = field(repr=False)


@dataclass(frozen=True)
class Card:
    """One system's settings in one language; ``snippet`` (and where it belongs) and ``hint`` may be empty."""

    key: str
    name: str
    where: str
    values: tuple[Value, ...]
    snippet_in: str
    snippet: str = field(repr=False)
    hint: str


@dataclass(frozen=True)
class System:
    """A system that can be connected."""

    key: str
    name: str


def systems(language: str = "en") -> tuple[System, ...]:
    """All that there are cards for, in the order in which they are offered."""
    return tuple(System(one["key"], _worded(one["name"], language)) for one in _read())


def choices() -> list[tuple[str, str]]:
    """The same for a field of a form."""
    return [(system.key, system.name) for system in systems(language())]


def access_at(where: Endpoint, username: str, password: str, domain: str) -> Access:
    """What cards say of a connection whose mail is handed over there."""
    return Access(where.host, where.port or where.tls_port or 0, username, password, domain)


def card(key: str, access: Access, language: str) -> Card:
    """The card of a system; that of ``OTHER`` for one that nobody knows."""
    known = {one["key"]: one for one in _read()}
    found = known.get(key, known[OTHER])
    facts = _facts(access)

    def worded(name: str) -> str:
        return _filled(_worded(found.get(name, ""), language), facts)

    values = tuple(
        Value(one.get(language, one["en"]), None if one.get("on") else _filled(one["value"], facts))
        for one in found.get("fields", ())
    )
    snippet = _filled(found.get("snippet", ""), facts)
    return Card(found["key"], worded("name"), worded("where"), values, worded("snippet_in"), snippet, worded("hint"))


def _worded(text: str | Mapping[str, str], language: str) -> str:
    """A text of the file: one for all languages, or each language's own."""
    return text if isinstance(text, str) else text.get(language, text["en"])


def _facts(access: Access) -> dict[str, str]:
    address = f"[{access.host}]:{access.port}" if ":" in access.host else f"{access.host}:{access.port}"
    return {
        "host": access.host,
        "port": str(access.port),
        "username": access.username,
        "password": access.password,
        "login": f"{access.username}:{access.password}",
        "address": address,
        "url": f"smtp://{address}",
        "domain": access.domain,
        "sender": f"{SENDER}@{access.domain}",
    }


def _in_quotes(text: str, mark: str, also: str = "") -> str:
    """In a language's quotes, with a backslash before what would end them or mean something else."""
    special = re.escape("\\" + mark + also)
    return mark + re.sub(f"[{special}]", r"\\\g<0>", text) + mark


def _properties(text: str) -> str:
    """A value of a .properties file (java.util.Properties.load): backslashes and a leading blank would be lost."""
    escaped = text.replace("\\", "\\\\")
    return f"\\{escaped}" if escaped.startswith(" ") else escaped


WAYS: Mapping[str, Callable[[str], str]] = {  # of writing a value so that it is read as it is
    "": str,
    "dotenv": lambda text: _in_quotes(text, '"', "$"),
    "js": json.dumps,
    "msmtp": lambda text: f'"{text}"',  # what is between the first and the last quotation mark
    "php": lambda text: _in_quotes(text, "'"),
    "properties": _properties,
    "python": ascii,
    "ruby": lambda text: _in_quotes(text, "'"),
    "shell": shlex.quote,
    "url": lambda text: quote(text, safe=""),
}
_PLACE = re.compile(r"\{(host|port|username|password|login|address|url|domain|sender)(?::([a-z]+))?\}")


def _filled(template: str, facts: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda place: WAYS[place[2] or ""](facts[place[1]]), template).strip()


@cache
def _read() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads(files(__package__).joinpath("systems.toml").read_text("utf-8"))[
        "system"
    ]
    return found
