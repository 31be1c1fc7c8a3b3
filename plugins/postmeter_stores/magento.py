"""Magento 2: comments in an order's history, by the REST API V1."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from postmeter_stores import oauth
from postmeter_stores.api import Order
from postmeter_stores.note import Note
from postmeter_stores.web import Absent, Client, Missing, Query, Rejected

ORDERS = "/rest/V1/orders"


class Magento:
    """A shop with Magento 2 or Adobe Commerce; the credentials are those of an integration.

    All four of them sign each request (OAuth 1.0a); an access token alone is sent as a bearer token, which a shop must
    have been set to allow (oauth/consumer/enable_integration_as_bearer).
    """

    def __init__(self, client: Client, credentials: Mapping[str, str]) -> None:
        self._client = client
        self._credentials = credentials

    def check(self) -> None:
        """See ``Shop``. A comment for order 0, which nobody has, is looked at only after the permission."""
        self._search([], ["entity_id"])
        try:
            self._ask("POST", "/0/comments", body=_body("Is writing allowed?", Order("0", "0", {"status": "pending"})))
        except (Absent, Rejected):
            return

    def find(self, number: str) -> Order | None:
        """See ``Shop``."""
        return self._search([("increment_id", number)], ["entity_id", "increment_id", "status"])

    def newest(self, recipient: str) -> Order | None:
        """See ``Shop``."""
        return self._search([("customer_email", recipient)], ["entity_id", "increment_id", "status"])

    def write(self, order: Order, note: Note) -> None:
        """See ``Shop``."""
        path = f"/{order.key}/comments"
        try:
            written = self._ask("GET", path, [("fields", "items[comment]")])
            if not any(note.mark in str(one["comment"]) for one in written["items"] or ()):
                self._ask("POST", path, body=_body(note.text, order))
        except Absent:
            raise Missing(f"the order {order.number} is not there any more") from None

    def _search(self, filters: Sequence[tuple[str, str]], fields: Sequence[str]) -> Order | None:
        query = [("searchCriteria[pageSize]", "1"), ("searchCriteria[currentPage]", "1")]
        for name, value in filters:
            place = "searchCriteria[filter_groups][0][filters][0]"
            query += [(f"{place}[field]", name), (f"{place}[value]", value), (f"{place}[condition_type]", "eq")]
        order = "searchCriteria[sortOrders][0]"
        query += [(f"{order}[field]", "entity_id"), (f"{order}[direction]", "DESC")]
        found = self._ask("GET", "", [*query, ("fields", f"items[{','.join(fields)}]")])["items"]
        if not (filters and found):
            return None
        one = found[0]
        return Order(str(int(one["entity_id"])), str(one["increment_id"]), {"status": one["status"]})

    def _ask(self, method: str, path: str, query: Query = (), body: Any = None) -> Any:
        url = self._client.url(ORDERS + path)
        return self._client.ask(
            method, self._client.url(ORDERS + path, query), self._authorization(method, url, query), body
        )

    def _authorization(self, method: str, url: str, query: Query) -> dict[str, str]:
        given = self._credentials
        if not given.get("key"):
            return {"Authorization": f"Bearer {given['token']}"}
        fields = [
            ("oauth_consumer_key", given["key"]),
            ("oauth_nonce", secrets.token_hex(16)),
            ("oauth_signature_method", "HMAC-SHA256"),
            ("oauth_timestamp", str(int(self._client.clock()))),
            ("oauth_token", given["token"]),
            ("oauth_version", "1.0"),
        ]
        signed = oauth.signature(method, url, [*query, *fields], given["secret"], given["token_secret"])
        return {"Authorization": oauth.authorization([*fields, ("oauth_signature", signed)])}


def _body(text: str, order: Order) -> dict[str, Any]:
    """A comment that leaves the status as it is, and that the customer neither sees nor is mailed."""
    history = {
        "comment": text,
        "parent_id": int(order.key),
        "status": order.facts["status"],
        "is_customer_notified": 0,
        "is_visible_on_front": 0,
    }
    return {"statusHistory": history}
