"""PrestaShop: private messages of the order, by the webservice (answers in JSON, requests in XML)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from postmeter_stores.api import Order
from postmeter_stores.note import Note
from postmeter_stores.web import Client, Query, Rejected, basic


class PrestaShop:
    """A shop with PrestaShop; the credential is the key of a webservice account."""

    def __init__(self, client: Client, credentials: Mapping[str, str]) -> None:
        self._client = client
        self._headers = basic(credentials["key"], "")

    def check(self) -> None:
        """See ``Shop``. A message without text, which is refused, is looked at only after the permission."""
        for resource in ("orders", "customers", "messages"):
            self._list(resource, [("display", "[id]"), ("limit", "1")])
        try:
            self._post(_body("", "0"))
        except Rejected:
            return

    def find(self, number: str) -> Order | None:
        """See ``Shop``. The number is the reference, which is of letters, or the id."""
        return self._newest("reference", number) or (self._newest("id", number) if number.isdigit() else None)

    def newest(self, recipient: str) -> Order | None:
        """See ``Shop``. A guest who ordered twice is two customers; characters that mean something are not searched."""
        if set(recipient) & set("[]|,%"):
            return None
        query = [("filter[email]", f"[{recipient}]"), ("display", "[id,email]")]
        found = self._list("customers", query)
        own = [str(int(one["id"])) for one in found if str(one["email"]).lower() == recipient.lower()]
        return self._newest("id_customer", "|".join(own)) if own else None

    def write(self, order: Order, note: Note) -> None:
        """See ``Shop``. A message that is not private could be shown to the customer."""
        query = [("filter[id_order]", f"[{order.key}]"), ("display", "[id,message]")]
        if not any(note.mark in str(one["message"]) for one in self._list("messages", query)):
            self._post(_body(note.text, order.key))

    def _newest(self, field: str, value: str) -> Order | None:
        query = [(f"filter[{field}]", f"[{value}]"), ("display", "[id,reference]"), ("sort", "[id_DESC]")]
        found = self._list("orders", [*query, ("limit", "1")])
        return Order(str(int(found[0]["id"])), str(found[0]["reference"])) if found else None

    def _list(self, resource: str, query: Query) -> Sequence[Mapping[str, Any]]:
        """What matches; of nothing the webservice makes an empty list without a name."""
        url = self._client.url(f"/api/{resource}", [*query, ("output_format", "JSON")])
        found = self._client.ask("GET", url, self._headers)
        return found[resource] if found else ()

    def _post(self, body: bytes) -> None:
        url = self._client.url("/api/messages", [("output_format", "JSON")])
        self._client.ask("POST", url, self._headers, body, "text/xml; charset=utf-8")


def _body(text: str, order: str) -> bytes:
    message = f"<id_order>{order}</id_order><message>{escape(text)}</message><private>1</private>"
    document = f'<?xml version="1.0" encoding="UTF-8"?>\n<prestashop><message>{message}</message></prestashop>'
    return document.encode()
