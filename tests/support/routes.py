"""The panel's routes, and their addresses with the things of an account filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from flask import Flask
from werkzeug.routing import Rule

from postmeter_web import access
from support.furnished import Furniture

FILES = ("static", "bootstrap.static")
PARTS: set[str] = {"live", "live_records", "live_test"}  # views that give no page


@dataclass(frozen=True)
class Door:
    """A route and one of its methods."""

    rule: Rule
    method: str

    @property
    def place(self) -> str:
        """The name of its blueprint."""
        return self.rule.endpoint.rpartition(".")[0]

    @property
    def is_part(self) -> bool:
        """Whether it gives a file or a fragment rather than a page."""
        return self.rule.endpoint.rpartition(".")[2] in PARTS


def doors(app: Flask, *places: str) -> Iterator[Door]:
    """All routes and methods of these places."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        where = access.place_of(app, rule.endpoint.rpartition(".")[0])
        if rule.endpoint in FILES or where is None or where.name not in places:
            continue
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
            yield Door(rule, method)


def path(door: Door, account: str, things: Furniture) -> str:
    """The address of a door in an account, to a thing of ``things``."""

    def fill(found: re.Match[str]) -> str:
        name = found[2]
        if name == "name":
            return account
        values = VALUES(things)
        assert name in values, f"{door.rule.rule}: say what a foreign {name} is"
        return quote(str(values[name]), safe="")

    return re.sub(r"<(?:(\w+)(?:\([^)]*\))?:)?(\w+)>", fill, door.rule.rule)


def VALUES(things: Furniture) -> dict[str, object]:
    """Things of an account, by the names of parameters in addresses."""
    return {
        "account": "forum",
        "domain": things.domain,
        "connection": things.connection,
        "message": things.message,
        "address": things.suppressed,
        "block": things.block,
        "user": things.member_id,
        "ticket": things.invitation,
        "login": 0,
        "token": "nonsense",
        "provider": "Google",
        "verb": "hold",
        "number": 77,  # of a request for access
        "plugin": "billing",
        "key": "policy",
    }
