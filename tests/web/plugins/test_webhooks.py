"""Webhooks' pages: an account's endpoints, their secrets shown once, tests, deliveries, and what is sent again."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from flask import Flask

from postmeter import Core, Fetched, FetchError, Page, hookimpl
from postmeter.store import events, plugin_steps
from postmeter.store.secrets import NewPassword
from postmeter_webhooks import deliveries, endpoints, pages
from postmeter_webhooks.plugin import Webhooks
from postmeter_webhooks.sending import Sender
from postmeter_webhooks.settings import WebhookSettings
from support.panel import NOW, OTHER, OWNER, Browser, House
from support.webhooks import Endpoints

ALL, ADD, URL = "/accounts/shop/webhooks/", "/accounts/shop/webhooks/add", "https://shop.example/hook"
HOSTILE = "<script>alert(1)</script>"
DAY = 86_400.0


class Played(Webhooks):
    """The plugin, whose endpoints are played."""

    __module__ = Webhooks.__module__  # where its translations are

    def __init__(self, played: Endpoints) -> None:
        super().__init__()
        self.played = played

    @hookimpl
    def pages(self) -> list[Page]:
        return list(pages.pages(self._core, Sender(self._core, fetch=self.played)))


class Desk:
    """The plugin in the house's panel."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.played = Endpoints()
        plugin_steps.migrate(house.store, {"webhooks": Webhooks().migrations()})
        settings = WebhookSettings(max_endpoints=3)
        self.app: Flask = house.app(own_settings={"webhooks": settings}, webhooks=Played(self.played))
        self.core = Core("webhooks", house.settings, settings, house.store.lend("w"), house.secrets, lambda: house.now)

    def visit(self, email: str) -> Browser:
        """Somebody who is logged in."""
        browser = Browser(self.app)
        assert browser.log_in(email).status_code == 302
        return browser

    def add(self, account: str, url: str = URL, *types: str) -> int:
        """An endpoint of that account."""
        with self.house.store.write() as session:
            return endpoints.add(session, self.core, self.house.ids[account], None, url, types, 9).endpoint

    def endpoint(self, number: int) -> endpoints.Endpoint:
        """It, as it is now."""
        with self.house.store.read() as session:
            return endpoints.find(session, self.core, number)

    def queue(self, number: int, *webhook_ids: str, state: str = "failed") -> None:
        """Deliveries of that endpoint in this state."""
        account = self.endpoint(number).account_id
        rows = [deliveries.row(key, account, number, 1, "message.bounced", "", "{}", NOW) for key in webhook_ids]
        with self.house.store.write() as session:
            deliveries.enqueue(session, rows)
            if state == "failed":
                endpoints.switch_off(session, number, HOSTILE, NOW)
                endpoints.switch_on(session, number, NOW)

    def happen(self, account: str, kind: str = "quota_low", at: float = NOW, **facts: Any) -> None:
        """Something happens to the account that its endpoints are not told."""
        with self.house.store.write() as session:
            events.record(session, [events.about_account(self.house.ids[account], kind, at, facts)])


@pytest.fixture
def desk(house: House) -> Desk:
    """Two accounts without endpoints."""
    return Desk(house)


def changes(house: House) -> list[tuple[str, str, int | None]]:
    return [(one.action, one.subject, one.account_id) for one in house.changes()]


def words(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def test_an_account_without_endpoints_is_told_what_they_are(desk: Desk) -> None:
    page = desk.visit(OWNER).get(ALL).text
    assert "No system is called yet." in page
    assert f'href="{ADD}"' in page


def test_an_endpoint_is_added_and_its_secret_is_shown_only_then(desk: Desk, house: House) -> None:
    owner, number = desk.visit(OWNER), house.connection("shop", "Web shop")
    answer = owner.post(ADD, ADD, url=URL, connection=str(number), types="message.bounced")
    (secret,) = set(re.findall(r"whsec_[A-Za-z0-9+/=]+", html.unescape(answer.text)))
    with house.store.read() as session:
        (added,) = endpoints.every(session, desk.core, house.ids["shop"])
    assert (added.url, added.connection_id, added.types) == (URL, number, ("message.bounced",))
    assert secret not in html.unescape(owner.get(f"{ALL}{added.id}/").text + owner.get(ALL).text)
    assert changes(house) == [("webhook.add", URL, house.ids["shop"])]
    assert f"{URL} Web shop called message.bounced none yet 0" in words(owner.get(ALL).text)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"url": ""}, "This field is required."),
        ({"url": "http://shop.example/"}, "shop.example would be asked in clear text; only https is allowed"),
        ({"url": "https://127.0.0.1/"}, "127.0.0.1 is not a public address, so nothing is sent there"),
        ({"url": f"https://{HOSTILE}/"}, "is not a URL such as https://shop.example/path"),
        ({"url": URL, "types": "everything"}, "not a valid choice"),
        ({"url": URL, "connection": "7"}, "Not a valid choice."),
        ({"url": URL, "connection": "1", "types": "quota.low"}, "quota.low: this is about the whole account."),
    ],
)
def test_what_cannot_be_called_is_refused_with_the_reason(
    desk: Desk, house: House, fields: dict[str, str], said: str
) -> None:
    house.connection("shop", "Web shop")
    answer = desk.visit(OWNER).post(ADD, ADD, **fields)
    assert answer.status_code == 400
    assert said in words(answer.text)
    assert HOSTILE not in answer.text
    assert changes(house) == []


def test_the_same_endpoint_is_not_added_twice_and_there_are_not_more_than_allowed(desk: Desk) -> None:
    owner = desk.visit(OWNER)
    assert owner.post(ADD, ADD, url=URL).status_code == 200
    assert "is called about the same already" in owner.post(ADD, ADD, url=URL).text
    assert owner.post(ADD, ADD, url=URL, types="quota.low").status_code == 200
    assert owner.post(ADD, ADD, url=f"{URL}/3").status_code == 200
    assert "The account has 3 endpoints already. Remove one first." in owner.post(ADD, ADD, url=f"{URL}/4").text


def test_a_foreign_endpoint_does_not_exist(desk: Desk) -> None:
    owner, own, foreign = desk.visit(OWNER), desk.add("shop"), desk.add("forum", "https://forum.example/secret")
    desk.queue(foreign, "msg_1")
    missing = owner.get(f"{ALL}99/").text
    for path in (f"{ALL}{foreign}/", f"{ALL}{foreign}/replay"):
        answer = owner.get(path)
        assert (answer.status_code, answer.text) == (404, missing)
    for verb in ("test", "pause", "enable", "renew", "remove", "replay"):
        assert owner.post(f"{ALL}{foreign}/{verb}", f"{ALL}{own}/").status_code == 404
    assert "forum.example" not in owner.get(ALL).text
    assert desk.visit(OTHER).get(f"/accounts/forum/webhooks/{foreign}/").status_code == 200
    assert (desk.endpoint(foreign).off, desk.played.calls) == ("", [])


def test_who_only_looks_or_pays_has_no_webhooks(desk: Desk, house: House, password: NewPassword) -> None:
    for role in ("viewer", "billing"):
        browser = desk.visit(house.member("shop", f"{role}@shop.example", role, password))
        assert browser.get(ALL).status_code == 403
        assert "Webhooks" not in browser.get("/accounts/shop/quota/").text


def test_a_test_shows_what_the_endpoint_answers(desk: Desk, house: House) -> None:
    owner, number = desk.visit(OWNER), desk.add("shop")
    page = f"{ALL}{number}/"
    desk.played.answers = [Fetched(200, {}, b"thanks"), Fetched(500, {}, HOSTILE.encode()), FetchError("no address")]
    for said in ("The test was taken. The answer: 200 thanks", f"The test was not taken: 500 {HOSTILE}", "no address"):
        assert owner.post(f"{page}test", page).headers["Location"] == page
        answer = owner.get(page).text
        assert said in words(answer)
        assert HOSTILE not in answer
    assert [call.url for call in desk.played.calls] == [URL] * 3
    assert changes(house)[0] == ("webhook.test", URL, house.ids["shop"])
    assert words(owner.get(page).text).count("test.ping") == 3


def test_who_wants_one_test_too_many_waits(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "TESTS", 0)
    desk = Desk(house)
    owner, page = desk.visit(OWNER), f"{ALL}{desk.add('shop')}/"
    owner.post(f"{page}test", page)
    assert "Other tests are under way." in owner.get(page).text
    assert desk.played.calls == []


def test_a_secret_is_renewed_once_however_often_the_form_is_sent(desk: Desk, house: House) -> None:
    owner, number = desk.visit(OWNER), desk.add("shop")
    page = f"{ALL}{number}/"
    (seen,) = re.findall(r'name="seen"[^>]*value="([^"]+)"', owner.get(page).text)
    before = desk.endpoint(number).sealed
    first = owner.post(f"{page}renew", page, seen=seen)
    assert "whsec_" in first.text
    assert desk.endpoint(number).sealed[1:] == before
    assert owner.post(f"{page}renew", page, seen=seen).headers["Location"] == page
    assert "The secret was renewed already." in owner.get(page).text
    assert desk.endpoint(number).sealed[1:] == before
    assert changes(house) == [("webhook.renew", URL, house.ids["shop"])]


def test_an_endpoint_is_paused_switched_on_and_removed(desk: Desk, house: House) -> None:
    owner, number = desk.visit(OWNER), desk.add("shop")
    page = f"{ALL}{number}/"
    desk.queue(number, "msg_1", state="waiting")
    owner.post(f"{page}pause", page)
    assert "State paused Paused by hand 1 second ago . Last success none yet Waiting 0" in words(owner.get(page).text)
    owner.post(f"{page}enable", page)
    assert desk.endpoint(number).off == ""
    owner.post(f"{page}remove", page)
    assert owner.get(page).status_code == 404
    assert [action for action, *_ in changes(house)] == ["webhook.remove", "webhook.enable", "webhook.pause"]


def test_what_has_failed_is_counted_before_it_is_sent_again(desk: Desk, house: House) -> None:
    owner, number = desk.visit(OWNER), desk.add("shop")
    page = f"{ALL}{number}/"
    desk.queue(number, "msg_1", "msg_2")
    assert HOSTILE in words(owner.get(f"{page}?state=failed").text)
    assert HOSTILE not in owner.get(f"{page}?state=failed").text
    preview = owner.get(f"{page}replay?what=failed")
    assert "2 events will be sent again, under the same webhook-id" in preview.text
    owner.post(f"{page}replay", f"{page}replay?what=failed", what="failed")
    assert "2 events will be sent again." in owner.get(page).text
    assert "There is nothing to be sent again." in owner.get(f"{page}replay?what=failed").text
    assert changes(house)[0] == ("webhook.replay", URL, house.ids["shop"])


def test_what_an_endpoint_has_missed_is_sent_since_a_time_of_the_visitors_zone(desk: Desk) -> None:
    owner, number = desk.visit(OWNER), desk.add("shop", URL, "quota.low")
    page = f"{ALL}{number}/"
    for at in (NOW - 3 * DAY, NOW - DAY, NOW):
        desk.happen("shop", at=at, left=5, threshold=10)
    desk.happen("shop", "quota_booked")
    desk.happen("forum")
    since = "2026-11-22T00:00"
    assert "2 events will be sent again" in owner.get(f"{page}replay?what=since&since={since}").text
    owner.post(f"{page}replay", f"{page}replay?what=since&since={since}", what="since", since=since)
    with desk.house.store.read() as session:
        assert deliveries.waiting(session, [number]) == {number: 2}
    assert "nothing to be sent again" in owner.get(f"{page}replay?what=since&since={since}").text


def test_too_much_for_a_page_is_left_to_the_command(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, number = desk.visit(OWNER), desk.add("shop")
    monkeypatch.setattr(pages, "MOST", 0)
    desk.happen("shop")
    where = f"{ALL}{number}/replay"
    answer = owner.get(f"{where}?what=since&since=2026-11-22T00:00").text
    assert f"postmeter webhook replay {number} --since 2026-11-22T00:00:00+00:00" in answer
    owner.post(where, "/me/", what="since", since="2026-11-22T00:00")
    with desk.house.store.read() as session:
        assert deliveries.waiting(session, [number]) == {}


@pytest.mark.parametrize("query", ["what=since", "what=since&since=yesterday", "what=everything"])
def test_a_wish_that_cannot_be_read_is_refused(desk: Desk, query: str) -> None:
    owner, number = desk.visit(OWNER), desk.add("shop")
    assert 'role="alert"' in owner.get(f"{ALL}{number}/replay?{query}").text


def test_the_pages_are_complete_in_german(desk: Desk) -> None:
    owner, number = desk.visit(OWNER), desk.add("shop")
    desk.queue(number, "msg_1")
    page = words(owner.get(f"{ALL}{number}/", **{"Accept-Language": "de"}).text)
    assert "Zustellungen" in page
    assert "fehlgeschlagen" in page


def test_every_type_is_explained() -> None:
    from postmeter_webhooks.body import CHOSEN
    from postmeter_webhooks.meanings import MEANINGS

    assert tuple(MEANINGS) == CHOSEN
