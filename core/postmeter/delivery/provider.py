"""Whose mail servers those are, by the host names that MX records give, and how much mail each provider bears."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from postmeter.delivery.provider_file import DEFAULT, OTHER, Values, read, read_path
from postmeter.delivery.reply_rule import Rule
from postmeter.errors import ConfigError

SHIPPED = "providers.toml"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a provider bears: ``connections`` at a time, ``mails`` in one of them, ``idle`` seconds without one.

    ``rate`` are mails and ``connection_rate`` new connections per second. ``tls`` is opportunistic or required. The
    first of the ``rules`` that is about a reply decides. ``apart``: it is so for each mail server's name on its own.
    """

    connections: int
    mails: int
    rate: float
    connection_rate: float
    idle: float
    tls: str
    rules: tuple[Rule, ...] = ()
    apart: bool = False


class Providers:
    """All of them; the tables of the operator's ``own`` file are put over the shipped ones, key by key."""

    def __init__(self, own: Mapping[str, Values] | None = None, own_file: str = "") -> None:
        self._files = ((own_file, own or {}), (SHIPPED, _shipped()))
        names = dict.fromkeys(name for _, tables in self._files for name in tables if name != DEFAULT)
        self._suffixes = {suffix: name for name in reversed(names) for suffix in self._mx(name)}  # the operator's word
        self._shapes = {name: self._shape(name) for name in (*names, OTHER)}
        self.of = lru_cache(maxsize=10_000)(self._of)

    @classmethod
    def load(cls, own: Path | None) -> Providers:
        """With the operator's file (None: there is none); ConfigError says what is wrong with it."""
        return cls(read_path(own), str(own)) if own else cls()

    @property
    def names(self) -> frozenset[str]:
        """All that ``of`` may give for a host name."""
        return frozenset(self._shapes)

    def shape(self, name: str) -> Shape:
        """What the provider bears; what a stranger does when the name is none."""
        return self._shapes.get(name) or self._shapes[OTHER]

    def told(self, name: str) -> dict[str, tuple[Any, str]]:
        """What holds for a provider by key, each with the file that says so; rules are told one by one."""
        rules = {f"rule {rule.name}": (rule, place) for rule, place in self._rules(name)}
        return {**{key: found for key, found in self._said(name).items() if key != "rules"}, **rules}

    def _of(self, host: str) -> str:
        """The provider's name, ``other`` when it is none that is known; empty for an address, which is nobody's name.

        The longest suffix decides.
        """
        name = host.rstrip(".").lower()
        if not name or ":" in name or name[-1].isdigit():
            return ""
        while name not in self._suffixes:
            _, dot, name = name.partition(".")
            if not dot:
                return OTHER
        return self._suffixes[name]

    def _layers(self, name: str) -> list[tuple[str, Values]]:
        """What is said about it, the strongest word first; each with the place it stands at."""
        own = [(file, tables.get(name, {})) for file, tables in self._files]
        return own + [(f"{file}, [{DEFAULT}]", tables.get(DEFAULT, {})) for file, tables in self._files]

    def _mx(self, name: str) -> tuple[str, ...]:
        suffixes: tuple[str, ...] = self._said(name).get("mx", ((), ""))[0]
        if not suffixes:
            raise ConfigError(f"{self._files[0][0]}: {name} is no provider that is known, so it needs mx")
        return suffixes

    def _said(self, name: str) -> dict[str, tuple[Any, str]]:
        return {key: (value, place) for place, table in reversed(self._layers(name)) for key, value in table.items()}

    def _rules(self, name: str) -> list[tuple[Rule, str]]:
        """In their order; of those with the same name the first one, and none when that is only a name."""
        rules: dict[str, tuple[Rule, str]] = {}
        for place, table in self._layers(name):
            for rule in table.get("rules", ()):
                rules.setdefault(rule.name, (rule, place))
        return [found for found in rules.values() if found[0].seconds]

    def _shape(self, name: str) -> Shape:
        said = {key: value for key, (value, _) in self._said(name).items() if key not in ("mx", "rules")}
        return Shape(**said, rules=tuple(rule for rule, _ in self._rules(name)))


@cache
def _shipped() -> dict[str, Values]:
    return read(resources.files(__package__).joinpath(SHIPPED).read_text("utf-8"), SHIPPED)
