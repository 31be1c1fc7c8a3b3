"""The panel with the pages of all plugins that are shipped, and what those have of an account."""

from __future__ import annotations

import attrs
from flask import Flask

from postmeter import Core
from postmeter.config import Plugins as Enabled
from postmeter.hooks import Plugins
from postmeter.store import plugin_steps
from postmeter_billing import book
from postmeter_billing.book import Selection
from postmeter_stores.tables import NoteRow, ShopRow
from postmeter_webhooks import deliveries, endpoints
from postmeter_webhooks.schedule import Answer, verdict
from support.billing import ADDRESS, DAY, SELLER
from support.bureau import Bureau
from support.hostile import hostile
from support.panel import House

SHIPPED = ("billing", "notify", "stores", "webhooks")
INSIDE = "https://10.0.0.1"  # where nothing is sent to


def plugged(house: House) -> Flask:
    """The application with all of them, as the relay finds them; their tables are made."""
    chosen = Enabled(SHIPPED, {"billing": {**SELLER, "billing_day": 1}})
    house.settings = attrs.evolve(house.settings, plugins=chosen)
    loaded = Plugins.load(house.settings)
    plugin_steps.ensure(house.store, loaded.migrations())
    return house.app_with(loaded)


def equip(house: House, account: str, mark: str, connection: int) -> tuple[int, str]:
    """Give an account a shop with a note, an endpoint with deliveries, and an invoice; numbers of the latter two."""
    _connect_shop(house, account, mark, connection)
    return _add_endpoint(house, account, mark, connection), _bill(house, account, mark)


def _core(house: House, name: str) -> Core:
    return Core(name, house.settings, None, house.store.lend(name), house.secrets, lambda: house.now)


def _connect_shop(house: House, account: str, mark: str, connection: int) -> None:
    owner, now = house.ids[account], house.now
    shop = ShopRow(connection_id=connection, account_id=owner, kind="woocommerce", created_at=now)
    shop.url, shop.said, shop.credentials = f"{INSIDE}/{mark}", hostile("shop-says", mark), house.secrets.seal(b"{}")
    note = NoteRow(connection_id=connection, message_id=f"{owner:026d}", kind="bounced", at=now, created_at=now)
    note.recipient, note.reply = f"bounced@{mark}.example", hostile("note-reply", mark)
    note.reference, note.said, note.next_at = hostile("order", mark), hostile("note", mark), now
    with house.store.write() as session:
        session.add_all([shop, note])


def _add_endpoint(house: House, account: str, mark: str, connection: int) -> int:
    core, owner = _core(house, "webhooks"), house.ids[account]
    with house.store.write() as session:
        added = endpoints.add(session, core, owner, connection, f'{INSIDE}/{mark}?"><script>', [], 9).endpoint
        answer = Answer(500, hostile("answer", mark))
        sent = deliveries.row(f"msg_{mark}", owner, added, 1, "message.bounced", "", "{}", house.now)
        deliveries.keep(session, sent, answer, verdict(answer, 0, house.now, 0.0), house.now)
    return added


def _bill(house: House, account: str, mark: str) -> str:
    """A block of three weeks ago, and the invoice about it; its number."""
    office = Bureau(house)
    office.now = house.now - 20 * DAY
    names = {name: hostile(f"buyer-{name}", mark) for name in ("name", "street", "city", "reference")}
    office.sell(account, 25_000, **{**ADDRESS, **names, "language": "de"})
    office.run(account=account)
    with house.store.read() as session:
        [record] = book.records(session, Selection(house.ids[account]))
    return record.invoice.number
