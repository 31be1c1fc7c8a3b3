"""Reads a file of providers (providers.toml, the operator's own): typed values, or a ConfigError that names the key."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, get_args

from postmeter.delivery.reply_rule import Rule
from postmeter.errors import ConfigError
from postmeter.smtp.mail import Stage
from postmeter.source import is_host_name

Values = Mapping[str, Any]  # what a file says of one provider
DEFAULT = "default"  # the table of what holds where a provider's own says nothing
OTHER = "other"  # whoever is in no table
MOST_CONNECTIONS = 1_000
MOST_NAME = 100  # characters

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}
_STAGES = get_args(Stage)


def read(text: str, file: str) -> dict[str, Values]:
    """The tables of a file by the providers' names; ``file`` is what errors call it."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: {error}") from None
    return {name: _table(f"{file}: {name}", name, table) for name, table in tables.items()}


def read_path(path: Path) -> dict[str, Values]:
    """The same from the operator's file."""
    try:
        return read(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"delivery.providers: {path} cannot be read: {error}") from None


def _table(place: str, name: str, table: Any) -> Values:
    if not isinstance(table, dict):
        raise ConfigError(f"{place} must be a table: [{name}]")
    if name == OTHER or not (name.isprintable() and 0 < len(name) <= MOST_NAME):
        raise ConfigError(f"{place}: a provider's name has 1 to {MOST_NAME} printable characters, and is not {OTHER!r}")
    known = {key: kind for key, kind in _KEYS.items() if name != DEFAULT or key != "mx"}
    return _checked(place, table, known)


def _checked(place: str, table: Mapping[str, Any], kinds: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    values = {}
    for key, value in table.items():
        if key not in kinds:
            raise ConfigError(f"{place}.{key} is unknown; there are: {', '.join(kinds)}")
        try:
            values[key] = kinds[key](value)
        except ConfigError as error:  # about a part of it
            raise ConfigError(f"{place}: {error}") from None
        except ValueError as error:
            raise ConfigError(f"{place}.{key} must be {error}, not {value!r}") from None
    return values


# The kinds of values: each gives the typed value, or ValueError with what it must be.


def _count(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MOST_CONNECTIONS:
        raise ValueError(f"a whole number from 1 to {MOST_CONNECTIONS:,}")
    return value


def _time(value: Any) -> float:
    """Seconds of ``2 h``."""
    number, _, unit = value.partition(" ") if isinstance(value, str) else ("", "", "")
    if not (number.isdecimal() and int(number) and unit in _SECONDS):
        raise ValueError('a time such as "90 s", "30 min", "2 h" or "1 d"')
    return int(number) * _SECONDS[unit]


def _rate(value: Any) -> float:
    """So many per second of ``10/min``."""
    number, _, unit = value.partition("/") if isinstance(value, str) else ("", "", "")
    if not (number.isdecimal() and int(number) and unit in _SECONDS):
        raise ValueError('a rate such as "20/s", "100/min" or "5/h"')
    return int(number) / _SECONDS[unit]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= MOST_NAME:
        raise ValueError(f"a text of 1 to {MOST_NAME} characters")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    """One text, or several; in lower case."""
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ValueError("a text, or a list of texts")
    return tuple(_text(one).lower() for one in values)


def _suffixes(value: Any) -> tuple[str, ...]:
    """The names of mail servers or what they end in, with or without a dot in front."""
    names = tuple(name.strip(".") for name in _texts(value))
    if not all(map(is_host_name, names)):
        raise ValueError("a host name or the end of some, or a list of them")
    return names


def _stages(value: Any) -> tuple[str, ...]:
    if not set(stages := _texts(value)) <= set(_STAGES):
        raise ValueError(f"one of {', '.join(_STAGES)}, or a list of them")
    return stages


def _code(value: Any) -> int:
    if type(value) is not int or not 400 <= value < 600:
        raise ValueError("a code from 400 to 599")
    return value


def _status(value: Any) -> str:
    parts = value.split(".") if isinstance(value, str) else []
    if not (1 <= len(parts) <= 3 and all(part.isdecimal() for part in parts)):
        raise ValueError('an enhanced status such as "4.7.0", or its beginning')
    return str(value)


def _tls(value: Any) -> str:
    if value not in ("opportunistic", "required"):
        raise ValueError('"opportunistic" or "required"')
    return str(value)


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError("true or false")
    return value


def _rules(value: Any) -> tuple[Rule, ...]:
    if not (isinstance(value, list) and all(isinstance(one, dict) for one in value)):
        raise ValueError("a list of tables")
    return tuple(map(_rule, value))


def _rule(table: Mapping[str, Any]) -> Rule:
    """A rule; one that has only a name takes the one of that name away."""
    name = table.get("name", "")
    values = _checked(f"rule {name!r}", table, _RULE)
    wrong = [why for is_wrong, why in _WRONG if is_wrong(values.keys())]
    if wrong:
        raise ConfigError(f"rule {name!r} {wrong[0]}")
    return Rule(**{_FIELDS.get(key, key): value for key, value in values.items()})


_CONDITIONS = {"text", "code", "status", "stage"}
_WRONG: tuple[tuple[Callable[[AbstractSet[str]], bool], str], ...] = (
    (lambda keys: "name" not in keys, "has no name, by which a slowdown says what has led to it"),
    (lambda keys: len(keys) > 1 and "for" not in keys, 'does not say for how long: for = "30 min"'),
    (lambda keys: len(keys) > 1 and not keys & _CONDITIONS, "would be about every refusal: it needs a text or a code"),
)
_FIELDS = {"text": "texts", "stage": "stages", "times_per_hour": "times", "for": "seconds"}
_RULE: dict[str, Callable[[Any], Any]] = {
    "name": _text,
    "text": _texts,
    "code": _code,
    "status": _status,
    "stage": _stages,
    "times_per_hour": _count,
    "for": _time,
    "connections": _count,
    "per_minute": _count,
    "alarm": _truth,
}
_KEYS: dict[str, Callable[[Any], Any]] = {
    "mx": _suffixes,
    "connections": _count,
    "mails": _count,
    "rate": _rate,
    "connection_rate": _rate,
    "idle": _time,
    "tls": _tls,
    "apart": _truth,
    "rules": _rules,
}
