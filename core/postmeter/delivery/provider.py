"""Whose mail servers those are: the receiving provider by the host name that an MX record gives."""

from __future__ import annotations

import tomllib
from functools import cache, lru_cache
from importlib import resources
from typing import Any

OTHER = "other"  # none that the table knows


@lru_cache(maxsize=10_000)
def provider(host: str) -> str:
    """The provider's name, ``other`` when it is none that is known; empty for an address, which is nobody's name."""
    name = host.rstrip(".").lower()
    if not name or ":" in name or name[-1].isdigit():
        return ""
    suffixes = _suffixes()
    while name not in suffixes:
        _, dot, name = name.partition(".")
        if not dot:
            return OTHER
    return suffixes[name]


def requires_tls(name: str) -> bool:
    """Whether mail for the provider of this name must not go out in clear."""
    return name in _required()


def names() -> frozenset[str]:
    """All that ``provider`` may give for a host name."""
    return frozenset((*_suffixes().values(), OTHER))


@cache
def _suffixes() -> dict[str, str]:
    """What host names end in, each with the provider's name."""
    return {suffix: name for name, table in _tables().items() for suffix in table["mx"]}


@cache
def _required() -> frozenset[str]:
    return frozenset(name for name, table in _tables().items() if table.get("tls") == "required")


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath("providers.toml").read_text("utf-8"))
