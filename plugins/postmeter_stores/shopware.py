"""Shopware 6: custom fields of the order, by the admin API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from postmeter_stores.api import Order
from postmeter_stores.note import MAX_RECIPIENT, Note, printable
from postmeter_stores.web import Absent, Client, Rejected, Unusable, iso

SET = "postmeter"
MAX_NOTES = 20  # in an order's log
BETWEEN = " | "  # the notes of a log, newest first: the field is of one line
LABELS = {  # of the custom fields in the administration
    "postmeter_status": ("Mail status", "Mailstatus"),
    "postmeter_at": ("Mail status since", "Mailstatus seit"),
    "postmeter_recipient": ("Mail recipient", "Mailempfänger"),
    "postmeter_log": ("Mail log", "Mailprotokoll"),
}
_ID = re.compile(r"[0-9a-f]{32}")
_SPARE = 60.0  # seconds before its end in which a token is not used any more


class Shopware:
    """A shop with Shopware 6; the credentials are an integration's access key ID and its secret."""

    def __init__(self, client: Client, credentials: Mapping[str, str]) -> None:
        self._client = client
        self._credentials = {"client_id": credentials["key"], "client_secret": credentials["secret"]}
        self._token, self._until = "", 0.0
        self._prepared = False

    def check(self) -> None:
        """See ``Shop``. A change of an order that nobody has is looked at only after the permission."""
        self._search("order", limit=1, includes={"order": ["id"]})
        self._prepare()
        try:
            self._ask("PATCH", f"/api/order/{uuid4().hex}", {"customFields": {"postmeter_status": ""}})
        except (Absent, Rejected):
            return

    def find(self, number: str) -> Order | None:
        """See ``Shop``."""
        return self._one([{"type": "equals", "field": "orderNumber", "value": number}])

    def newest(self, recipient: str) -> Order | None:
        """See ``Shop``."""
        return self._one([{"type": "equals", "field": "orderCustomer.email", "value": recipient}])

    def write(self, order: Order, note: Note) -> None:
        """See ``Shop``. Writing fields twice is writing them once; an older fact does not replace a newer status."""
        log = str(order.facts.get("postmeter_log") or "")
        if note.mark in log:
            return
        self._prepare()
        fields = {"postmeter_log": BETWEEN.join([note.text, *log.split(BETWEEN)][:MAX_NOTES]).removesuffix(BETWEEN)}
        if iso(note.at) >= str(order.facts.get("postmeter_at") or ""):
            fields |= {
                "postmeter_status": note.kind,
                "postmeter_at": iso(note.at),
                "postmeter_recipient": printable(note.recipient, MAX_RECIPIENT),
            }
        self._ask("PATCH", f"/api/order/{order.key}", {"customFields": fields})

    def _one(self, filters: list[dict[str, str]]) -> Order | None:
        found = self._search(
            "order",
            limit=1,
            filter=filters,
            sort=[{"field": "createdAt", "order": "DESC"}],
            includes={"order": ["id", "orderNumber", "customFields"]},
        )
        if not found:
            return None
        key, number = str(found[0]["id"]), str(found[0]["orderNumber"])
        if not _ID.fullmatch(key):
            raise ValueError(f"{key!r} is not an id")
        return Order(key, number, found[0].get("customFields") or {})

    def _prepare(self) -> None:
        """Make the custom-field set, once in the shop's life; without it nobody sees the fields."""
        if self._prepared:
            return
        if not self._search("custom-field-set", limit=1, filter=[{"type": "equals", "field": "name", "value": SET}]):
            self._ask("POST", "/api/custom-field-set", _field_set())
        self._prepared = True

    def _search(self, entity: str, **criteria: Any) -> Any:
        return self._ask("POST", f"/api/search/{entity}", criteria)["data"]

    def _ask(self, method: str, path: str, body: Any) -> Any:
        """With the token; one that the shop does not take any more is renewed, once."""
        fresh = self._renew()
        try:
            return self._client.ask(method, self._client.url(path), self._authorization, body)
        except Unusable as error:
            if fresh or error.status != 401:
                raise
        self._token = ""
        self._renew()
        return self._client.ask(method, self._client.url(path), self._authorization, body)

    @property
    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    def _renew(self) -> bool:
        """Have a token that is good for a while; whether it was fetched just now."""
        if self._token and self._client.clock() < self._until:
            return False
        asked = {"grant_type": "client_credentials", **self._credentials}
        granted = self._client.ask("POST", self._client.url("/api/oauth/token"), {}, asked)
        self._token = str(granted["access_token"])
        self._until = self._client.clock() + float(granted["expires_in"]) - _SPARE
        return True


def _field_set() -> dict[str, Any]:
    return {
        "name": SET,
        "config": {"label": {"en-GB": "Postmeter", "de-DE": "Postmeter"}},
        "relations": [{"entityName": "order"}],
        "customFields": [
            {
                "name": name,
                "type": "text",
                "config": {"label": {"en-GB": english, "de-DE": german}, "customFieldPosition": place},
            }
            for place, (name, (english, german)) in enumerate(LABELS.items(), 1)
        ],
    }
