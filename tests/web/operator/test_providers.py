"""Providers and our addresses: figures, what was said, and a pause that can be taken back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from postmeter.store import orders, provider_sessions, providers, queue, sources
from postmeter.store.provider_sessions import Report, Sessions
from postmeter.store.providers import BY_RULE, Suspension
from postmeter.store.sources import DAY, Figures, Key
from postmeter.store.tables import BOUNCED, DEFERRED, DELIVERED
from support.panel import NOW, Browser, House
from support.postage import accept, add_worker, lease, settle_all, submission

ONE = "/operator/providers/Google/"
TODAY = int(NOW) // DAY * DAY


@pytest.fixture
def mail(house: House) -> House:
    """Eight recipients at Google were delivered, one bounced, one waits."""
    worker = add_worker(house.store)
    for count, state, reply in ((8, DELIVERED, "250 ok"), (1, BOUNCED, "550 <i>no"), (1, DEFERRED, "421 slow down")):
        accept(house.store, submission(count, account=house.ids["shop"], at=NOW - 60))
        leased = lease(house.store, worker, NOW)
        settle_all(house.store, leased, worker, state, reply=reply, provider="Google", at=NOW - 9, again=NOW + 900)
    with house.store.write() as session:
        figures = Figures(10, 8, 1, 1, 9, 1, NOW - 9)
        sources.add(
            session, [{Key("192.0.2.7", TODAY, "Google"): figures, Key("192.0.2.7", TODAY - DAY, "X"): figures}]
        )
    return house


def test_providers_have_their_figures_and_what_they_said(mail: House, operator: Browser) -> None:
    page = operator.get("/operator/providers/").text
    assert f'href="{ONE}"' in page
    assert "88.9%" in page
    assert "90.0%" in page
    page = operator.get(ONE).text
    assert "550 &lt;i&gt;no" in page
    assert "421 slow down" in page
    assert operator.get("/operator/providers/Nobody/").status_code == 404


def test_a_provider_is_suspended_and_resumed(mail: House, operator: Browser) -> None:
    assert operator.post(f"{ONE}suspend", ONE, reason="too many complaints").status_code == 302
    page = operator.get(ONE).text
    assert "too many complaints" in page
    assert "until you resume it" in page
    with mail.store.read() as session:
        [made] = providers.suspensions(session, NOW)
    assert (made.provider, made.until) == ("Google", None)
    operator.post(f"{ONE}resume", ONE)
    with mail.store.read() as session:
        assert providers.suspensions(session, NOW) == []
        [order] = orders.orders(session)
    assert (order.verb, order.filter, order.matched) == ("retry", "provider:Google", 1)
    operator.post(f"{ONE}resume", ONE)
    assert "is not suspended" in operator.get("/operator/providers/").text


def test_a_suspension_ends_where_the_operator_is(mail: House, operator: Browser) -> None:
    operator.post(f"{ONE}suspend", ONE, reason="pause", until="2027-01-15T12:00")
    with mail.store.read() as session:
        [made] = providers.suspensions(session, NOW)
    assert made.until == 1_800_014_400.0


def test_sessions_are_shown_and_begin_again(mail: House, operator: Browser) -> None:
    assert "Sessions open now" not in operator.get(ONE).text
    with mail.store.write() as session:
        worker = queue.register(session, "n", 1, NOW, NOW + 60)
        told = {"Google": Sessions(1, 2.5), "Apple": Sessions(0, 1.0)}
        provider_sessions.report(session, [Report(worker, told)])
    page = operator.get("/operator/providers/").text
    assert "1 of 3" in page
    assert 'href="/operator/providers/Apple/"' in page
    page = operator.get(ONE).text
    for text in ("<dt>Sessions open now</dt><dd>1</dd>", "<dt>Allowed at present</dt><dd>3</dd>", "Begin again"):
        assert text in page
    assert operator.post(f"{ONE}resume", ONE).status_code == 302
    with mail.store.read() as session:
        assert provider_sessions.resumptions(session) == {"Google": NOW}


SLOWED = Suspension("Google", "421 [<i>x]", NOW, NOW + 900, BY_RULE, 1, 7, "TS<b>02")


def test_what_a_reply_rule_has_led_to_is_shown_and_taken_back(mail: House, operator: Browser) -> None:
    with mail.store.write() as session:
        providers.restrict(
            session, [SLOWED, replace(SLOWED, provider="mx.example.org", sessions=None, per_minute=None)]
        )
    page = operator.get("/operator/providers/").text
    assert "slowed down" in page
    assert 'href="/operator/providers/mx.example.org/"' in page
    page = operator.get(ONE).text
    for text in ("It is slowed down:", "421 [&lt;i&gt;x]", "TS&lt;b&gt;02", "<dd>1</dd>", "<dd>7</dd>", "Suspend</h2>"):
        assert text in page
    assert "Nothing is sent to it:" in operator.get("/operator/providers/mx.example.org/").text
    assert operator.post(f"{ONE}suspend", ONE, reason="enough").status_code == 302
    assert "Reply rule" not in operator.get(ONE).text
    operator.post(f"{ONE}resume", ONE)
    with mail.store.read() as session:
        assert [one.provider for one in providers.suspensions(session, NOW)] == ["mx.example.org"]


@pytest.mark.parametrize("fields", [{"reason": ""}, {"reason": "x", "until": "2001-01-01T00:00"}])
def test_what_is_wrong_with_a_suspension_is_told(mail: House, operator: Browser, fields: dict[str, str]) -> None:
    answer = operator.post(f"{ONE}suspend", ONE, **fields)
    assert answer.status_code == 400
    with mail.store.read() as session:
        assert providers.suspensions(session, NOW) == []


def test_pages_without_mail_say_what_will_be_there(operator: Browser) -> None:
    assert "Nothing was sent" in operator.get("/operator/providers/").text
