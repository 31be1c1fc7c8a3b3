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
from support.staffed import PROVIDER, REQUEST

FILES = ("static", "bootstrap.static")
PARTS = {"live", "live_records", "live_test", "chart", "file", "files", "export"}  # views that give no page


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


def path(door: Door, account: str, things: Furniture, number: int | None = None) -> str:
    """The address of a door in an account, to a thing of ``things``; ``number`` in the place of all numbers."""
    values = _values(things)

    def fill(found: re.Match[str]) -> str:
        kind, name = found[1], found[2]
        if name == "name":
            return account
        if kind == "int" and number is not None:
            return str(number)
        value = values.get(f"{door.place}.{name}", values.get(name))
        assert value is not None, f"{door.rule.rule}: say what a foreign {name} is"
        return quote(str(value), safe="")

    return re.sub(r"<(?:([^<>:]+):)?(\w+)>", fill, door.rule.rule)


def _values(things: Furniture) -> dict[str, object]:
    """Things of an account by the names of parameters in addresses; where a name has two meanings, by its place."""
    return {
        "account": "forum",
        "domain": things.domain,
        "domains.kind": "ed25519",
        "selector": things.selector,
        "connection": things.connection,
        "message": things.message,
        "message_id": things.message,
        "block": things.block,
        "user": things.member_id,
        "ticket": things.invitation,
        "login": things.login,
        "token": "nonsense",
        "stores.kind": "woocommerce",
        "webhooks.number": things.endpoint,
        "invoices.kind": "pdf",
        "invoices.number": things.invoice,
        "invoicing.kind": "pdf",
        "invoicing.number": things.invoice,
        "provider": PROVIDER,
        "verb": "hold",
        "requests.number": REQUEST,
        "plugin": "notify",
        "plugins.key": "policy",
        "csa.key": "website",
    }
