"""WooCommerce: order notes for the shop's staff, by the REST API v3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from postmeter_stores.api import Order
from postmeter_stores.note import Note
from postmeter_stores.web import Absent, Client, Missing, Query, basic

ORDERS = "/wp-json/wc/v3/orders"
NO_ROUTE = "rest_no_route"  # WordPress without WooCommerce, or not WordPress


class WooCommerce:
    """A shop with WooCommerce; the credentials are a consumer key and its secret."""

    def __init__(self, client: Client, credentials: Mapping[str, str]) -> None:
        self._client = client
        self._headers = basic(credentials["key"], credentials["secret"])

    def check(self) -> None:
        """See ``Shop``. A note for order 0, which nobody has, is looked at only after the key's permission."""
        self._ask("GET", "", [("per_page", "1"), ("_fields", "id")])
        try:
            self._ask("POST", "/0/notes", body=_body("Is writing allowed?"))
        except Absent as absent:
            if _is_no_route(absent):
                raise

    def find(self, number: str) -> Order | None:
        """See ``Shop``. The number is the id, unless an extension numbers the orders in its own way."""
        if number.isdigit() and (found := self._get(number)) and found.number == number:
            return found
        query = [("search", number), ("per_page", "20"), ("_fields", "id,number")]
        return next((one for one in map(_order, self._ask("GET", "", query)) if one.number == number), None)

    def newest(self, recipient: str) -> Order | None:
        """See ``Shop``. The search also finds the address elsewhere than where it belongs."""
        query = [("search", recipient), ("per_page", "5"), ("orderby", "date"), ("order", "desc")]
        found = self._ask("GET", "", [*query, ("_fields", "id,number,billing")])
        own = [one for one in found if str(one["billing"]["email"]).lower() == recipient.lower()]
        return _order(own[0]) if own else None

    def write(self, order: Order, note: Note) -> None:
        """See ``Shop``. A note for the customer (``customer_note``) would be mailed to him: a loop."""
        path = f"/{order.key}/notes"
        try:
            written = self._ask("GET", path, [("type", "internal"), ("_fields", "note")])
            if not any(note.mark in str(one["note"]) for one in written):
                self._ask("POST", path, body=_body(note.text))
        except Absent as absent:
            if _is_no_route(absent):
                raise
            raise Missing(f"the order {order.number} is not there any more") from None

    def _get(self, number: str) -> Order | None:
        try:
            return _order(self._ask("GET", f"/{number}", [("_fields", "id,number")]))
        except Absent as absent:
            if _is_no_route(absent):
                raise
            return None

    def _ask(self, method: str, path: str, query: Query = (), body: Any = None) -> Any:
        return self._client.ask(method, self._client.url(ORDERS + path, query), self._headers, body)


def _body(text: str) -> dict[str, Any]:
    return {"note": text, "customer_note": False}


def _order(data: Mapping[str, Any]) -> Order:
    return Order(str(int(data["id"])), str(data["number"]))


def _is_no_route(absent: Absent) -> bool:
    return not isinstance(absent.data, dict) or absent.data.get("code") == NO_ROUTE
