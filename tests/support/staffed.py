"""What the operator has on his desk: requests, a suspension, an order, notes, plugins in trouble, a strange account."""

from __future__ import annotations

from postmeter.store import (
    access_requests,
    csa,
    cursors,
    orders,
    parked,
    provider_sessions,
    providers,
    sources,
    terms,
    troubles,
)
from postmeter.store.access_requests import NewRequest
from postmeter.store.provider_sessions import Report, Sessions
from postmeter.store.queue_filter import Filter
from postmeter.store.secrets import NewPassword
from postmeter.store.sources import Figures, Key
from postmeter.store.troubles import Trouble
from support.hostile import LINK, hostile
from support.panel import House
from support.postage import add_worker

PROVIDER, REQUEST = "Google", 1  # that is suspended; that waits for an answer


def staff(house: House, password: NewPassword) -> None:
    """Put all that there can be on the operator's desk."""
    strange = house.account(hostile("account"), "owner@strange.example", password)
    worker = add_worker(house.store, house.now + 1e6)
    with house.store.write() as session:
        asked = NewRequest(hostile("wish"), "new@strange.example", LINK, hostile("text"), "en", "192.0.2.9")
        access_requests.add(session, asked, house.now)
        assert [one.id for one in access_requests.open_requests(session)] == [REQUEST]
        terms.block(session, strange, hostile("why-blocked"), house.now)
        providers.suspend(session, PROVIDER, hostile("why-suspended"), house.now + 900, house.now, "panel")
        provider_sessions.report(session, [Report(worker, {hostile("provider"): Sessions(3, 5.0)})])
        csa.answer(session, "website", True, hostile("csa-note"), "operator@relay.example", house.now)
        orders.place(session, "hold", Filter((("reason", hostile("filter")),)), 1, "0" * 26, house.now, "panel")
        cursors.begin(session, "notify")
        cursors.failed(session, "notify", hostile("failure"), house.now)
        parked.bury(session, "notify", 1, hostile("dead-letter"), house.now)
        troubles.note(session, [Trouble("notify", "on_accept", worker, hostile("trouble"), house.now - 60)])
        day = Key("192.0.2.1", int(house.now // 86_400) * 86_400, hostile("receiver"))
        sources.add(session, [{day: Figures(attempts=9, delivered=8, refused=1, last_at=house.now)}])
