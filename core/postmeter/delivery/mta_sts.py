"""MTA-STS (RFC 8461): what a domain says in its record and its policy, and which mail servers that allows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Mode = Literal["enforce", "testing", "none"]

MOST_AGE = 31_557_600  # seconds; RFC 8461, 3.2
MOST_OCTETS = 65_536  # of a policy
MOST_HOSTS = 100
MODES: dict[str, Mode] = {"enforce": "enforce", "testing": "testing", "none": "none"}
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_is_pattern = re.compile(rf"(?=.{{1,253}}\Z)(?:\*\.)?{_LABEL}(?:\.{_LABEL})*").fullmatch
_is_id = re.compile(r"[A-Za-z0-9]{1,32}").fullmatch
_is_field = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}").fullmatch
_VERSION = "STSv1"


class BadPolicy(ValueError):
    """The policy cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class StsPolicy:
    """A policy: ``hosts`` are names, or patterns with one label left open; ``max_age`` in seconds."""

    mode: Mode
    hosts: tuple[str, ...]
    max_age: int

    @classmethod
    def parse(cls, text: str) -> StsPolicy:
        """Read a policy (RFC 8461, 3.2); BadPolicy when it is none. Fields that are not known are passed over."""
        fields = _fields(text)
        mode = MODES.get(fields.get("mode", [""])[0])
        age = fields.get("max_age", [""])[0]
        hosts = tuple(host.lower().removesuffix(".") for host in fields.get("mx", []))
        if fields.get("version", [""])[0] != _VERSION:
            raise BadPolicy(f"it is not of version {_VERSION}")
        if mode is None:
            raise BadPolicy("its mode is none of enforce, testing and none")
        if not re.fullmatch(r"[0-9]{1,10}", age) or int(age) > MOST_AGE:
            raise BadPolicy(f"its max_age is not a number of seconds up to {MOST_AGE}")
        if len(hosts) > MOST_HOSTS or not all(map(_is_pattern, hosts)):
            raise BadPolicy("an mx of it is no name of a mail server")
        if not hosts and mode != "none":
            raise BadPolicy("it names no mail server")
        return cls(mode, hosts, int(age))

    def allows(self, host: str) -> bool:
        """Whether mail for the domain may be given to the mail server of this name (RFC 8461, 4.1)."""
        name = host.lower().rstrip(".")
        return name in self.hosts or f"*.{name.partition('.')[2]}" in self.hosts

    @property
    def lines(self) -> tuple[str, ...]:
        """The policy as it is written."""
        hosts = (f"mx: {host}" for host in self.hosts)
        return (f"version: {_VERSION}", f"mode: {self.mode}", *hosts, f"max_age: {self.max_age}")


def record_id(texts: Iterable[str]) -> str | None:
    """The id in the one valid record among these TXT texts (RFC 8461, 3.1); None when there is none, or more."""
    records = [text for text in texts if re.match(rf"v={_VERSION}[ \t]*(;|\Z)", text)]
    if len(records) != 1:
        return None
    ids = []
    for part in records[0].split(";")[1:]:
        name, _, value = part.strip(" \t").partition("=")
        if name == "id":
            ids.append(value)
    return ids[0] if len(ids) == 1 and _is_id(ids[0]) else None


def _fields(text: str) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for line in text.replace("\r\n", "\n").rstrip("\n").split("\n"):
        name, colon, value = line.rstrip(" \t").partition(":")
        if not (colon and _is_field(name) and value.isprintable()):
            raise BadPolicy("a line of it is not a name, a colon and a value")
        fields.setdefault(name, []).append(value.lstrip(" \t"))
    return fields
