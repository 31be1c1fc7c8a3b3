"""Magento 2's REST API V1, as far as orders and their comments go; signatures are verified by oauthlib."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

from oauthlib.oauth1.rfc5849 import signature

from plugins.stores.fakes.base import Answer, Asked, FakeShop, expect
from support.tenants import NOW

KEY, SECRET, TOKEN, TOKEN_SECRET = "kuy1gl39", "9sdc+/&= x", "o0tlwkf0", "pl3n~0wy"
PLACE = "searchCriteria[filter_groups][0][filters][0]"
OAUTH = {"oauth_consumer_key", "oauth_nonce", "oauth_signature_method", "oauth_timestamp", "oauth_token"}
OAUTH |= {"oauth_version", "oauth_signature"}


def error(status: int, message: str, **parameters: str) -> Answer:
    """An error as Magento says it."""
    return Answer(status, {"message": message, **({"parameters": parameters} if parameters else {})})


class FakeMagento(FakeShop):
    """``orders`` by entity id, ``comments`` by it; ``bearer``: access tokens may be sent alone."""

    def __init__(self) -> None:
        super().__init__()
        self.orders: dict[int, dict[str, Any]] = {}
        self.comments: dict[int, list[dict[str, Any]]] = {}
        self.nonces: set[str] = set()
        self.bearer = False
        self.resources = {"Magento_Sales::actions_view", "Magento_Sales::comment"}

    def add(self, number: str, email: str = "joe@example.org", status: str = "processing") -> None:
        """An order."""
        key = len(self.orders) + 1
        self.orders[key] = {"entity_id": key, "increment_id": number, "status": status, "customer_email": email}
        self.comments[key] = []

    def texts(self, number: str) -> list[str]:
        """The comments of an order."""
        (key,) = [key for key, order in self.orders.items() if order["increment_id"] == number]
        return [one["comment"] for one in self.comments[key]]

    def answer(self, asked: Asked) -> Answer:
        """See FakeShop."""
        found = re.fullmatch(r"/rest/V1/orders(?:/(\d+)/comments)?", asked.path)
        expect(found is not None, "a known address")
        assert found is not None
        resource = "Magento_Sales::comment" if asked.method == "POST" else "Magento_Sales::actions_view"
        if not self._known(asked) or resource not in self.resources:
            return error(401, "The consumer isn't authorized to access %resources.", resources=resource)
        if found[1] is None:
            return self._search(asked)
        return self._comment(asked, int(found[1])) if asked.method == "POST" else self._comments(asked, int(found[1]))

    def _known(self, asked: Asked) -> bool:
        scheme, _, rest = asked.headers.get("authorization", "").partition(" ")
        if scheme == "Bearer":
            return self.bearer and rest == TOKEN
        expect(scheme == "OAuth", "OAuth 1.0a")
        pairs = [part.partition("=")[::2] for part in rest.split(", ")]
        given = {unquote(name): unquote(value.strip('"')) for name, value in pairs}
        expect(set(given) == OAUTH and given["oauth_signature_method"] == "HMAC-SHA256", f"OAuth has {set(given)}")
        expect(given["oauth_version"] == "1.0" and abs(int(given["oauth_timestamp"]) - NOW) < 1e6, "version and time")
        expect(given["oauth_nonce"] not in self.nonces, "a new nonce")
        self.nonces.add(given["oauth_nonce"])
        if (given["oauth_consumer_key"], given["oauth_token"]) != (KEY, TOKEN):
            return False
        signed = given.pop("oauth_signature")
        request = SimpleNamespace(
            http_method=asked.method,
            uri=self.base + asked.path,
            params=[*asked.query, *given.items()],
            signature=signed,
        )
        return bool(signature.verify_hmac_sha256(request, SECRET, TOKEN_SECRET))

    def _search(self, asked: Asked) -> Answer:
        expect(asked.method == "GET", "orders are looked for")
        fields = asked.fields
        if not any(name.startswith("searchCriteria") for name in fields):
            return error(400, '"%fieldName" is required. Enter and try again.', fieldName="searchCriteria")
        rows = sorted(self.orders.values(), key=lambda order: -int(order["entity_id"]))
        if f"{PLACE}[field]" in fields:
            expect(fields[f"{PLACE}[condition_type]"] == "eq", "eq")
            name, value = fields[f"{PLACE}[field]"], fields[f"{PLACE}[value]"]
            rows = [row for row in rows if str(row[name]) == value]
        rows = rows[: int(fields["searchCriteria[pageSize]"])]
        found = re.fullmatch(r"items\[([a-z_,]+)\]", fields["fields"])
        expect(found is not None, f"fields {fields['fields']}")
        assert found is not None
        names = found[1].split(",")
        return Answer(200, {"items": [{name: row[name] for name in names} for row in rows]})

    def _comments(self, asked: Asked, key: int) -> Answer:
        if key not in self.orders:
            return error(404, "The entity that was requested doesn't exist. Verify the entity and try again.")
        return Answer(200, {"items": [{"comment": one["comment"]} for one in self.comments[key]]})

    def _comment(self, asked: Asked, key: int) -> Answer:
        if key not in self.orders:
            return error(404, "The entity that was requested doesn't exist. Verify the entity and try again.")
        expect(set(asked.json) == {"statusHistory"}, "the argument's name")
        history = asked.json["statusHistory"]
        needed = {"comment": str, "parent_id": int, "is_customer_notified": int, "is_visible_on_front": int}
        for name, kind in needed.items():
            expect(type(history.get(name)) is kind, f"{name} is required")
        expect(set(history) <= {*needed, "status", "entity_name"}, f"unknown {set(history)}")
        expect(history["is_customer_notified"] == 0, "the customer would be mailed")
        expect(history["is_visible_on_front"] == 0, "the customer would see it")
        expect(history["parent_id"] == key, "the order's id")
        self.orders[key]["status"] = history["status"]
        self.comments[key].append(history)
        return Answer(200, True)
