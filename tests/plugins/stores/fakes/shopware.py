"""Shopware 6's admin API, as far as orders and custom fields go."""

from __future__ import annotations

import re
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from plugins.stores.fakes.base import Answer, Asked, FakeShop, expect

KEY, SECRET = "SWIAQ0FMZE", "bFdJ"
CRITERIA = {"limit", "page", "filter", "sort", "includes", "total-count-mode"}
FIELDS = {
    "order": {"orderNumber": "orderNumber", "orderCustomer.email": "email", "createdAt": "createdAt"},
    "custom-field-set": {"name": "name"},
}
ALL = frozenset({"order:read", "order:update", "custom_field_set:read", "custom_field_set:create"})


def error(status: int, code: str, title: str, detail: str) -> Answer:
    """An error as JSON:API has it."""
    return Answer(status, {"errors": [{"status": str(status), "code": code, "title": title, "detail": detail}]})


class FakeShopware(FakeShop):
    """``orders`` and ``sets`` by id; ``tokens`` are those that are good, ``issued`` counts them all."""

    def __init__(self) -> None:
        super().__init__()
        self.orders: dict[str, dict[str, Any]] = {}
        self.sets: list[dict[str, Any]] = []
        self.tokens: set[str] = set()
        self.issued = 0
        self.privileges = ALL

    def add(self, number: str, email: str = "joe@example.org", **fields: str) -> None:
        """An order with custom fields."""
        key = uuid5(NAMESPACE_URL, number).hex
        order = {"id": key, "orderNumber": number, "customFields": fields or None, "email": email}
        self.orders[key] = {**order, "createdAt": f"2026-11-26T12:00:{len(self.orders):02d}.000+00:00"}

    def fields(self, number: str) -> dict[str, str]:
        """The custom fields of an order."""
        return self.orders[uuid5(NAMESPACE_URL, number).hex]["customFields"] or {}

    def answer(self, asked: Asked) -> Answer:
        """See FakeShop."""
        if asked.path == "/api/oauth/token":
            return self._token(asked)
        expect(asked.headers.get("accept") == "application/json", "the flat form of answers")
        scheme, _, token = asked.headers.get("authorization", "").partition(" ")
        expect(scheme == "Bearer", "a bearer token")
        if token not in self.tokens:
            return error(401, "9", "The resource owner or authorization server denied the request.", "Token is expired")
        if found := re.fullmatch(r"/api/search/(order|custom-field-set)", asked.path):
            return self._search(found[1], asked)
        if found := re.fullmatch(r"/api/order/([0-9a-f]{32})", asked.path):
            return self._change(found[1], asked)
        expect((asked.method, asked.path) == ("POST", "/api/custom-field-set"), "a known address")
        return self._make(asked)

    def _token(self, asked: Asked) -> Answer:
        data = asked.json
        expect(set(data) == {"grant_type", "client_id", "client_secret"}, "what a token needs")
        expect(data["grant_type"] == "client_credentials", "the grant")
        if (data["client_id"], data["client_secret"]) != (KEY, SECRET):
            return error(401, "4", "Client authentication failed", "")
        self.issued += 1
        self.tokens.add(token := f"token-{self.issued}")
        return Answer(200, {"token_type": "Bearer", "expires_in": 600, "access_token": token})

    def _may(self, privilege: str) -> Answer | None:
        if privilege in self.privileges:
            return None
        detail = f'{{"message":"Missing privilege","missingPrivileges":["{privilege}"]}}'
        return error(403, "FRAMEWORK__MISSING_PRIVILEGE_ERROR", "Forbidden", detail)

    def _search(self, entity: str, asked: Asked) -> Answer:
        if refused := self._may(f"{entity.replace('-', '_')}:read"):
            return refused
        criteria = asked.json
        expect(asked.method == "POST" and set(criteria) <= CRITERIA, f"criteria {criteria}")
        rows = list(self.orders.values()) if entity == "order" else list(self.sets)
        for one in criteria.get("filter", ()):
            expect(set(one) == {"type", "field", "value"} and one["type"] == "equals", f"filter {one}")
            rows = [row for row in rows if row[FIELDS[entity][one["field"]]] == one["value"]]
        for one in criteria.get("sort", ()):
            rows.sort(key=lambda row: row[FIELDS[entity][one["field"]]], reverse=one["order"] == "DESC")
        names = criteria.get("includes", {}).get(entity.replace("-", "_"))
        chosen = [{k: v for k, v in row.items() if names is None or k in names} for row in rows[: criteria["limit"]]]
        return Answer(200, {"total": len(chosen), "data": chosen, "aggregations": []})

    def _change(self, key: str, asked: Asked) -> Answer:
        if refused := self._may("order:update"):
            return refused
        data = asked.json
        expect(asked.method == "PATCH" and set(data) == {"customFields"}, "custom fields are changed")
        if key not in self.orders:
            return error(400, "FRAMEWORK__WRITE_TYPE_INTEND_ERROR", "Bad Request", "Expected UpdateCommand")
        known = {field["name"] for one in self.sets for field in one["customFields"]}
        expect(set(data["customFields"]) <= known, "fields that the administration shows")
        expect(all("<" not in v and "\n" not in v for v in data["customFields"].values()), "texts of one line, no tags")
        self.orders[key]["customFields"] = {**(self.orders[key]["customFields"] or {}), **data["customFields"]}
        return Answer(204)

    def _make(self, asked: Asked) -> Answer:
        if refused := self._may("custom_field_set:create"):
            return refused
        data = asked.json
        expect(set(data) == {"name", "config", "relations", "customFields"}, "a set")
        expect(data["relations"] == [{"entityName": "order"}], "a set of orders")
        expect(all(set(f) == {"name", "type", "config"} for f in data["customFields"]), "its fields")
        expect(all(one["name"] != data["name"] for one in self.sets), "the set is there already")
        self.sets.append(data)
        return Answer(204)
