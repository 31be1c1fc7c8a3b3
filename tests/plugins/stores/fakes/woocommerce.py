"""WooCommerce's REST API v3, as far as orders and their notes go."""

from __future__ import annotations

import re
from typing import Any

from plugins.stores.fakes.base import Answer, Asked, FakeShop, expect

KEY, SECRET = "ck_4f1c", "cs_90ab"
LIST = {"search", "per_page", "orderby", "order", "_fields"}


def error(status: int, code: str, message: str) -> Answer:
    """An error as WordPress says it."""
    return Answer(status, {"code": code, "message": message, "data": {"status": status}})


class FakeWooCommerce(FakeShop):
    """``orders`` by id, ``notes`` by the order's id; ``writable``: the key is one of Read/Write."""

    def __init__(self) -> None:
        super().__init__()
        self.orders: dict[int, dict[str, Any]] = {}
        self.notes: dict[int, list[dict[str, Any]]] = {}
        self.mailed: list[str] = []
        self.writable = True
        self.installed = True

    def add(self, number: int, email: str = "joe@example.org", name: str = "") -> None:
        """An order; ``name`` is its number when an extension gives one."""
        billing = {"email": email, "first_name": "Joe"}
        self.orders[number] = {"id": number, "number": name or str(number), "billing": billing, "status": "processing"}
        self.notes[number] = [{"id": 1, "author": "system", "note": "Order created.", "customer_note": False}]

    def texts(self, number: int) -> list[str]:
        """The notes of an order, without the first one."""
        return [note["note"] for note in self.notes[number][1:]]

    def answer(self, asked: Asked) -> Answer:
        """See FakeShop."""
        found = re.fullmatch(r"/wp-json/wc/v3/orders(?:/(\d+))?(/notes)?", asked.path)
        if not self.installed or not found:
            return error(404, "rest_no_route", "No route was found matching the URL and request method.")
        if asked.basic != (KEY, SECRET):
            return error(401, "woocommerce_rest_cannot_view", "Sorry, you cannot list resources.")
        if asked.method == "POST" and not self.writable:
            text = "The API key provided does not have write permissions."
            return error(401, "woocommerce_rest_authentication_error", text)
        if found[1] is None:
            return self._list(asked)
        if found[2]:
            return self._notes(asked, int(found[1]))
        expect(asked.method == "GET" and set(asked.fields) <= {"_fields"}, "only looked at")
        order = self.orders.get(int(found[1]))
        return (
            Answer(200, self._chosen(asked, order))
            if order
            else error(404, "woocommerce_rest_shop_order_invalid_id", "No")
        )

    def _list(self, asked: Asked) -> Answer:
        expect(asked.method == "GET" and set(asked.fields) <= LIST, "a list")
        number = int(asked.fields.get("per_page", "10"))
        expect(1 <= number <= 100, "per_page")
        wanted = asked.fields.get("search", "")
        found = [o for o in self.orders.values() if wanted in (o["billing"]["email"], o["number"], str(o["id"]), "")]
        found.sort(key=lambda order: -int(order["id"]))
        return Answer(200, [self._chosen(asked, order) for order in found[:number]])

    def _chosen(self, asked: Asked, data: dict[str, Any]) -> dict[str, Any]:
        chosen = asked.fields["_fields"].split(",") if "_fields" in asked.fields else list(data)
        return {name: data[name] for name in chosen}

    def _notes(self, asked: Asked, number: int) -> Answer:
        if asked.method == "GET":
            expect(asked.fields.get("type") in ("any", "customer", "internal"), "type of notes")
        if number not in self.orders:
            return error(404, "woocommerce_rest_order_invalid_id", "Invalid order ID.")
        if asked.method == "GET":
            return Answer(200, [self._chosen(asked, note) for note in self.notes[number]])
        expect(asked.method == "POST", "notes are listed and added")
        data = asked.json
        if not isinstance(data.get("note"), str):
            return error(400, "rest_missing_callback_param", "Missing parameter(s): note")
        expect(type(data.get("customer_note", False)) is bool, "customer_note is a boolean")
        expect(set(data) <= {"note", "customer_note", "added_by_user"}, f"unknown {set(data)}")
        expect(not data.get("customer_note"), "the customer would be mailed")
        note = {"id": len(self.notes[number]) + 1, "author": "Postmeter", "customer_note": False, "note": data["note"]}
        self.notes[number].append(note)
        return Answer(201, note)
