"""PrestaShop's webservice, as far as orders, customers and messages go."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

from plugins.stores.fakes.base import Answer, Asked, FakeShop, expect

KEY = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
QUERY = {"display", "limit", "sort", "output_format"}
ALL = frozenset({("GET", "orders"), ("GET", "customers"), ("GET", "messages"), ("POST", "messages")})
_DIRTY = re.compile(r"<\s*(?:script|i?frame|form|input|embed|object)|script:|on(?:click|load|error)\s*=", re.I)


def error(status: int, code: int, message: str) -> Answer:
    """An error as the webservice says it in JSON."""
    return Answer(status, {"errors": [{"code": code, "message": message}]})


class FakePrestaShop(FakeShop):
    """The rows of the resources; ``permissions`` are those of the key."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, list[dict[str, Any]]] = {"orders": [], "customers": [], "messages": []}
        self.permissions = ALL
        self.active = True

    def add(self, number: str, email: str = "joe@example.org") -> int:
        """An order of a guest of its own; its id."""
        key = len(self.rows["orders"]) + 5
        self.rows["customers"].append({"id": key + 100, "email": email})
        self.rows["orders"].append({"id": key, "reference": number, "id_customer": key + 100})
        return key

    def texts(self, key: int) -> list[str]:
        """The messages of an order."""
        return [row["message"] for row in self.rows["messages"] if row["id_order"] == key]

    def answer(self, asked: Asked) -> Answer:
        """See FakeShop."""
        found = re.fullmatch(r"/api/(\w+)", asked.path)
        expect(found is not None and found[1] in self.rows, "a known resource")
        assert found is not None
        expect(asked.fields.get("output_format") == "JSON", "answers in JSON")
        if not self.active:
            return error(503, 22, "The PrestaShop webservice is disabled.")
        user, password = asked.basic or ("", "?")
        if len(user) != 32:
            return error(401, 18, "Invalid authentication key format")
        if (user, password) != (KEY, ""):
            return error(401, 20, "Authentification key is not active")
        if (asked.method, found[1]) not in self.permissions:
            text = f"Method {asked.method} is not allowed for the resource {found[1]} with this authentication key"
            return error(405, 25, text)
        return self._make(asked) if asked.method == "POST" else self._list(found[1], asked)

    def _list(self, resource: str, asked: Asked) -> Answer:
        rows = list(self.rows[resource])
        for name, value in asked.fields.items():
            if found := re.fullmatch(r"filter\[(\w+)\]", name):
                inside = re.fullmatch(r"\[([^\[\],%]+)\]", value)
                expect(inside is not None, f"filter {value}")
                assert inside is not None
                rows = [row for row in rows if str(row[found[1]]).lower() in inside[1].lower().split("|")]
            else:
                expect(name in QUERY, f"unknown {name}")
        if asked.fields.get("sort") == "[id_DESC]":
            rows.sort(key=lambda row: -int(row["id"]))
        rows = rows[: int(asked.fields.get("limit", "1000"))]
        names = asked.fields["display"].strip("[]").split(",")
        return Answer(200, {resource: [{name: row[name] for name in names} for row in rows]} if rows else [])

    def _make(self, asked: Asked) -> Answer:
        expect(asked.headers.get("content-type", "").startswith("text/xml"), "XML")
        root = ElementTree.fromstring(asked.body.decode("utf-8"))
        expect(root.tag == "prestashop" and [one.tag for one in root] == ["message"], "the document")
        fields = {one.tag: one.text or "" for one in root[0]}
        expect(set(fields) <= {"id_cart", "id_order", "id_customer", "id_employee", "message", "private"}, "fields")
        if not fields.get("message"):
            return error(400, 41, 'parameter "message" required')
        if len(fields["message"]) > 1600 or _DIRTY.search(fields["message"]):
            return error(400, 85, "Validation error: Property Message->message is not valid")
        expect(fields["private"] == "1", "the customer could read it")
        expect(any(row["id"] == int(fields["id_order"]) for row in self.rows["orders"]), "an order that exists")
        row = {"id": len(self.rows["messages"]) + 1, "id_order": int(fields["id_order"]), "message": fields["message"]}
        self.rows["messages"].append(row)
        return Answer(201, {"message": row})
