"""The operator's queue: what waits and why, and nothing is done before its number was seen."""

from __future__ import annotations

import re

import pytest

from postmeter.store import audit, orders
from postmeter.store.tables import DEFERRED, HELD, QUEUED
from support.panel import NOW, Browser, House
from support.postage import accept, add_worker, lease, recipients, settle_all, submission

PAGE = "/operator/queue/"
HOSTILE = '452 <script>alert(1)</script> "full"'


@pytest.fixture
def queue(house: House) -> House:
    """Two recipients of shop were deferred, one waits for its first attempt, one is being sent."""
    shop, worker = house.ids["shop"], add_worker(house.store)
    accept(house.store, submission(2, account=shop, at=NOW - 600))
    leased = lease(house.store, worker, NOW)
    settle_all(house.store, leased, worker, DEFERRED, reply=HOSTILE, provider="Google", at=NOW - 500, again=NOW + 900)
    accept(house.store, submission(account=shop, at=NOW - 60))
    lease(house.store, worker, NOW)
    accept(house.store, submission(account=shop, at=NOW - 30))
    return house


def states(house: House) -> list[str]:
    return [one.state for one in recipients(house.store)]


def test_an_empty_queue_says_what_will_be_there(operator: Browser) -> None:
    assert "Nothing waits." in operator.get(PAGE).text


def test_what_waits_is_shown_by_what_it_has_in_common(queue: House, operator: Browser) -> None:
    page = operator.get(PAGE).text
    assert "4 recipients wait" in page
    for text in ("example.net", "Google", "&lt;script&gt;", "shop"):
        assert text in page
    assert "<script>alert" not in page
    narrower = re.search(r'href="([^"]*provider[^"]*)">Google', page)
    assert narrower
    assert "2 recipients wait" in operator.get(narrower[1].replace("&amp;", "&")).text


def test_a_filter_that_cannot_be_understood_is_told(queue: House, operator: Browser) -> None:
    answer = operator.get(f"{PAGE}?filter=provider")
    assert answer.status_code == 400
    assert "is no condition; there are: account:…" in answer.text
    assert "there is no account" in operator.get(f"{PAGE}?filter=account:nobody").text
    german = operator.get(f"{PAGE}?filter=account:nobody", **{"Accept-Language": "de"}).text
    assert "es gibt kein Konto" in german


def form(page: str) -> dict[str, str]:
    return dict(re.findall(r'name="(filter|matched|upto)" value="([^"]*)"', page))


def test_the_number_is_seen_before_anything_is_ordered(queue: House, operator: Browser) -> None:
    preview = f"{PAGE}hold?filter=provider:google"
    page = operator.get(preview).text
    assert "2 recipients" in page
    fields = form(page)
    assert fields["matched"] == "2"
    assert states(queue).count(HELD) == 0
    assert operator.post(f"{PAGE}hold", preview, **fields).status_code == 302
    assert "0 of 2 so far" in operator.get(f"{PAGE}live").text
    with queue.store.read() as session:
        batch = orders.next_batch(session, NOW)
    assert batch is not None
    with queue.store.write() as session:
        orders.carry_out(session, [(batch, NOW)])
    assert states(queue).count(HELD) == 2
    assert "2 recipients" in operator.get(f"{PAGE}live").text
    with queue.store.read() as session:
        entry, *_ = audit.entries(session)
    assert (entry.action, entry.subject, entry.facts) == ("queue.hold", "provider:google", {"matched": 2, "order": 1})


def test_what_is_being_sent_is_told_to_be_left_alone(queue: House, operator: Browser) -> None:
    page = operator.get(f"{PAGE}cancel").text
    assert "3 recipients" in page
    assert "1 more is being sent at this moment and is left alone." in page
    assert states(queue).count(QUEUED) == 1


def test_whose_provider_nobody_knows_yet_is_told_to_be_left_alone(queue: House, operator: Browser) -> None:
    page = operator.get(f"{PAGE}hold?filter=provider:google").text
    assert "1 more waits for its first attempt, which will tell its provider, and is left alone." in page
    assert "first attempt" not in operator.get(f"{PAGE}hold?filter=domain:example.net").text
    german = operator.get(f"{PAGE}hold?filter=provider:google", **{"Accept-Language": "de"}).text
    assert "1 weiterer wartet auf seinen ersten Versuch" in german


def test_there_may_be_nothing_to_do(queue: House, operator: Browser) -> None:
    page = operator.get(f"{PAGE}release").text
    assert "There is nothing to do." in page
    assert form(page) == {}


@pytest.mark.parametrize(
    ("verb", "object", "kept", "wrong", "problem"),
    [
        ("bounce", " The sender was hacked ", "The sender was hacked", " ", "the reason must have 1 to 200"),
        ("reroute", "Relay.example:2525", "relay.example:2525", "relay", "is no next hop such as 192.0.2.1:25"),
    ],
)
def test_what_a_verb_needs_besides_is_asked_for_with_the_number(
    queue: House, operator: Browser, verb: str, object: str, kept: str, wrong: str, problem: str
) -> None:
    preview = f"{PAGE}{verb}?filter=provider:google"
    page = operator.get(preview).text
    assert 'name="object" required' in page
    fields = form(page)
    back = operator.post(f"{PAGE}{verb}", preview, **fields, object=wrong)
    assert back.headers["Location"] == preview
    assert problem in operator.get(preview).text
    operator.post(f"{PAGE}{verb}", preview, **fields, object=object)
    assert kept in operator.get(f"{PAGE}live").text
    with queue.store.read() as session:
        entry, *_ = audit.entries(session)
        [order] = orders.orders(session)
    assert (entry.action, entry.facts) == (f"queue.{verb}", {"matched": 2, "object": kept, "order": 1})
    assert (order.verb, order.object, order.matched) == (verb, kept, 2)


def test_there_are_six_verbs(queue: House, operator: Browser) -> None:
    assert operator.get(f"{PAGE}destroy").status_code == 404
    assert operator.post(f"{PAGE}destroy", f"{PAGE}cancel").status_code == 404
    operator.post(f"{PAGE}cancel", f"{PAGE}cancel", filter="nonsense", matched="1", upto="9")
    assert "is no condition" in operator.get(PAGE).text
