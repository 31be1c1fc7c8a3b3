"""A house to be looked at: a busy shop with a piece of everything, and an operator who has things to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from postmeter import Core
from postmeter.message.envelope import Envelope, Recipient
from postmeter.store import (
    access_requests,
    accounts,
    audit,
    connection_changes,
    domains,
    plugin_steps,
    suppressions,
    team,
    terms,
)
from postmeter.store.access_requests import NewRequest
from postmeter.store.audit import Actor
from postmeter.store.counters import Change, count
from postmeter.store.secrets import NewPassword
from postmeter.store.settle import settle
from postmeter.store.sources import DAY, Figures, Key, add
from postmeter.store.tables import BOUNCED, DEFERRED, DELIVERED, Connection
from postmeter_billing.plugin import Billing
from postmeter_notify.plugin import Notify
from postmeter_stores.plugin import StoresPlugin
from postmeter_stores.tables import NoteRow, ShopRow
from postmeter_webhooks import deliveries, endpoints
from postmeter_webhooks.plugin import Webhooks
from postmeter_webhooks.settings import WebhookSettings
from support.billing import ADDRESS, SELLER
from support.bureau import Bureau
from support.panel import OTHER, OWNER, House
from support.postage import accept, add_worker, lease, outcome, submission
from support.tenants import HELP, new_key

PLUGINS = {"billing": Billing(), "notify": Notify(), "stores": StoresPlugin(), "webhooks": Webhooks()}
ENVIRONMENT = {  # of the panel
    "POSTMETER_PLUGINS_ENABLED": ",".join(PLUGINS),
    **{f"POSTMETER_PLUGINS_BILLING_{name.upper()}": value for name, value in SELLER.items()},
}
_HOUR = 3600.0
_DIALOGUE = [
    [0.0, "C", "(connecting)"],
    [0.21, "S", "220 mx.gmail.example ESMTP"],
    [0.21, "C", "EHLO mail.example.net"],
    [0.24, "S", "250-mx.gmail.example\n250-SIZE 157286400\n250 STARTTLS"],
    [0.24, "C", "STARTTLS"],
    [0.27, "S", "220 2.0.0 Ready"],
    [0.35, "C", "MAIL FROM:<orders@shop.example> SIZE=1234"],
    [0.38, "S", "250 2.1.0 OK"],
]
_MAILS = (  # recipient, provider, subject, what became of it, what the server said
    ("anna.berg@gmail.example", "Google", "Your order 10482 has been received", DELIVERED, "250 2.0.0 OK"),
    ("max@outlook.example", "Microsoft", "Your order 10481 is on its way", DELIVERED, "250 2.6.0 Queued for delivery"),
    ("lena.vogt@posteo.example", "Posteo", "Invoice for your order 10480", DELIVERED, "250 2.0.0 Ok: queued"),
    ("j.schmid@gmx.example", "GMX", "Ihre Bestellung 10479 ist unterwegs", BOUNCED, "550 5.1.1 No such user here"),
    ("office@bakery.example", "bakery.example", "Your order 10478", BOUNCED, "552 5.2.2 The mailbox is full"),
    ("info@hotel.example", "hotel.example", "Your booking", DEFERRED, "451 4.7.1 Greylisted, try again in 5 minutes"),
)


@dataclass(frozen=True)
class Shown:
    """Where the pages of single things are."""

    connection: int
    waiting: int
    draft: int
    message: str
    member: int
    endpoint: int


def furnish(house: House, password: NewPassword) -> Shown:
    """Put everything in; the house's clock says when."""
    for name, plugin in PLUGINS.items():
        if name != "billing":  # the office makes its own tables
            plugin_steps.migrate(house.store, {name: plugin.migrations()})
    _sell(house)
    connection, waiting, draft = _connect(house)
    _count(house, connection)
    messages = list(_send(house, connection))
    member = _gather(house, password)
    endpoint = _call_systems(house, connection)
    _ask_the_operator(house)
    return Shown(connection, waiting, draft, messages[3], member, endpoint)


def _sell(house: House) -> None:
    """A month that was billed, and a block of this one."""
    now, office = house.now, Bureau(house)
    office.now = now - 32 * DAY
    office.enter(house.ids["shop"], **ADDRESS)
    with house.store.write() as session:
        terms.set_terms(session, house.ids["shop"], now, agreement=True, threshold=5_000)
    office.book(house.ids["shop"], 25_000)
    office.run(account="shop")
    office.now = now - 9 * DAY
    office.book(house.ids["shop"], 100_000)


def _connect(house: House) -> tuple[int, int, int]:
    """A system that is used, one that is paused, one that waits for its record and one without a domain."""
    used = house.connection("shop", "Web shop")
    paused = house.connection("shop", "Booking system of the branch office with a name as long as names get")
    with house.store.write() as session:
        account = accounts.account_by_name(session, "shop")
        domains.add_domain(session, house.secrets, account, "lindenhof.example", HELP, True, [new_key()], house.now)
        domains.add_domain(session, house.secrets, account, "news.example", HELP, False, [new_key()], house.now)
        waits = connection_changes.draft(session, house.secrets, account, "Newsletter", "mautic", house.now)
        connection_changes.set_domains(session, account, waits, ["news.example"])
        draft = connection_changes.draft(session, house.secrets, account, "Forum", "discourse", house.now)
        session.get_one(Connection, used).last_used_at = house.now - 130
        session.get_one(Connection, paused).paused = "too many complaints, please call us"
        return used, waits.id, draft.id


def _count(house: House, connection: int) -> None:
    """A day's mail."""
    with house.store.write() as session:
        for hours in range(24):
            at, mails = house.now - hours * _HOUR, 900 + 617 * (hours * 7 % 11)
            done = (("arrived", mails), ("delivered", mails - 30 - hours * 9), ("bounced", 12 + hours * 9))
            for name, number in done:
                for share, provider in ((2, "Google"), (3, "Microsoft"), (6, "GMX")):
                    change = Change(house.ids["shop"], connection, at, name, number // share, "shop.example", provider)
                    count(session, [change])
        count(session, [Change(house.ids["shop"], connection, house.now, "deferred", 41, "shop.example", "GMX")])


def _send(house: House, connection: int) -> Iterator[str]:
    """Single mails; their ids."""
    worker = add_worker(house.store, house.now + 1e6)
    for n, (address, provider, subject, state, reply) in enumerate(_MAILS):
        at = house.now - 140 * (n + 1)
        sent = replace(
            submission(account=house.ids["shop"], at=at),
            connection_id=connection,
            subject=subject,
            envelope=Envelope("orders@shop.example", (Recipient(address, "NEVER"),)),
            reference=f"order:{10482 - n}",
        )
        accept(house.store, sent)
        [leased] = [one for one in lease(house.store, worker, house.now) if one.message.id == sent.id]
        again = house.now + 300
        made = outcome(leased, leased.recipients[0], worker, state, at + 2, reply=reply, provider=provider, again=again)
        facts = {**made.facts, "address": "192.0.2.25", "tls": "TLSv1.3 TLS_AES_256_GCM_SHA384", "dialogue": _DIALOGUE}
        with house.store.write() as session:
            settle(session, [replace(made, facts=facts)])
        yield sent.id


def _gather(house: House, password: NewPassword) -> int:
    """People, suppressed addresses, and what was changed; the number of a member."""
    house.account("garden-and-more", OTHER, password)
    actor, account = Actor(None, OWNER, "192.0.2.7"), house.ids["shop"]
    member = house.member("shop", "viewer@shop.example", "viewer", password)
    with house.store.write() as session:
        owner = accounts.known_user(session, OWNER).id
        team.invite(session, house.secrets, account, "owner", "books@shop.example", "billing", owner, house.now)
        for address, reason, detail in (
            ("j.schmid@gmx.example", "bounce", "550 5.1.1 No such user here"),
            ("angry@gmail.example", "complaint", ""),
        ):
            suppressions.suppress(session, account, address, reason, house.now - _HOUR, detail=detail)
        for action, subject in (("connection.begin", "Web shop"), ("domain.look", "shop.example")):
            audit.record(session, actor, action, subject, house.now - 2 * _HOUR, account_id=account)
        return accounts.known_user(session, member).id


def _call_systems(house: House, connection: int) -> int:
    """A shop with notes, and a webhook with deliveries, whose number it gives."""
    account, at = house.ids["shop"], house.now - 200
    core = Core("webhooks", house.settings, WebhookSettings(), house.store.lend("w"), house.secrets, lambda: house.now)
    with house.store.write() as session:
        url, types = "https://shop.example/hooks/mail", ("message.bounced", "message.delivered")
        added = endpoints.add(session, core, account, None, url, types, 9).endpoint
        rows = [deliveries.row(f"msg_{n}", account, added, 1, kind, "", "{}", at) for n, kind in enumerate(types)]
        deliveries.enqueue(session, rows)
        session.add(
            ShopRow(
                connection_id=connection,
                account_id=account,
                kind="woocommerce",
                url="https://shop.example",
                credentials=core.seal(b"{}"),
                created_at=at,
            )
        )
        about = {"message_id": "M1", "kind": "bounced", "at": at, "reply": "550 5.1.1 No such user here"}
        what = {"reference": "order:10479", "next_at": at, "created_at": at, "recipient": "j.schmid@gmx.example"}
        session.add(NoteRow(connection_id=connection, **about, **what))
    return added


def _ask_the_operator(house: House) -> None:
    """A request for access, and figures of a source address."""
    text = "A bakery with a web shop: about 900 order mails a month."
    asked = NewRequest("Bakery", "eve@bakery.example", "bakery.example", text, "en", "192.0.2.50")
    today = int(house.now) // DAY * DAY
    keys = [Key("192.0.2.7", today - back * DAY, who) for back in range(3) for who in ("Google", "Microsoft")]
    with house.store.write() as session:
        access_requests.add(session, asked, house.now - _HOUR)
        add(session, [{key: Figures(1000, 960, 12, 28, 30, 8, house.now - 60) for key in keys}])
