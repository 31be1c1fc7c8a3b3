"""What is shown of a connection, and what can be changed about it."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from postmeter.message.conduct import Verdict
from postmeter.message.handling import Handling
from postmeter.store import conduct, connections, orders
from postmeter.store.connections import Caps, ConnectionFacts
from postmeter.store.counters import Change, count
from postmeter.store.pauses import stop_one
from postmeter.store.secrets import NewPassword
from postmeter.store.tables import Connection
from support.panel import NOW, OTHER, Browser, House

ALL = "/accounts/shop/connections/"


@pytest.fixture
def where(house: House) -> str:
    """The page of the account's only connection."""
    return f"{ALL}{house.connection('shop', 'Web shop')}"


def facts(house: House) -> ConnectionFacts:
    with house.store.read() as session:
        [found] = connections.connections_of(session, house.ids["shop"])
    return found


def change(house: House, **columns: Any) -> None:
    with house.store.write() as session:
        session.query(Connection).filter_by(name="Web shop").update(columns)


def send(owner: Browser, where: str, what: str, **fields: str) -> Any:
    return owner.post(f"{where}/{what}", f"{where}/", **fields)


def actions(house: House) -> list[tuple[str, str]]:
    return [(one.action, one.subject) for one in reversed(house.changes())]


def hidden(page: str) -> dict[str, str]:
    return {name: html.unescape(re.search(rf'name="{name}"[^>]*value="([^"]*)"', page)[1]) for name in ("seen", "key")}  # type: ignore[index]


def renew(owner: Browser, where: str, keep: int) -> str:
    form = hidden(owner.get(f"{where}/password").text)
    page = owner.post(f"{where}/password", f"{where}/password", **form, keep=str(keep)).text
    return re.search(r'data-copy="([0-9A-Za-z]{40})"', page)[1]  # type: ignore[index]


def opened(house: House, password: str) -> bool:
    with house.store.read() as session:
        found = connections.access(session, facts(house).username, house.now)
    return found is not None and found.opened_by(house.secrets.hash_token(password)) is not None


def test_who_has_none_is_shown_the_first_step(owner: Browser) -> None:
    page = owner.get(ALL).text
    assert "No connection yet." in page
    assert 'href="/accounts/shop/connect/"' in page


def test_the_list_says_how_each_does(house: House, owner: Browser, where: str) -> None:
    change(house, last_used_at=NOW - 180, per_day=1000)
    page = owner.get(ALL).text
    for text in ("Web shop", ">active<", "shop.example", "3 minutes ago", "1,000 per day"):
        assert text in page
    change(house, paused="sold")
    page = owner.get(ALL).text
    assert ">paused<" in page
    assert "This connection is paused: sold" in page


def test_the_page_shows_access_data_and_a_card_without_the_password(house: House, owner: Browser, where: str) -> None:
    page = html.unescape(owner.get(f"{where}/").text)
    for text in (facts(house).username, "127.0.0.1", "2587", "2465", "shown once"):
        assert text in page
    assert "What to enter in your system" in page
    page = html.unescape(owner.get(f"{where}/?system=django").text)
    assert f"EMAIL_HOST_USER = '{facts(house).username}'" in page
    assert "EMAIL_HOST_PASSWORD = 'YOUR-PASSWORD'" in page


def test_a_password_is_renewed_with_overlap_and_the_old_one_ended(house: House, owner: Browser, where: str) -> None:
    first = renew(owner, where, 0)
    house.now += 10
    second = renew(owner, where, 3600)
    assert opened(house, first)
    assert opened(house, second)
    page = owner.get(f"{where}/").text
    assert "The old password is still valid" in page
    assert "No mail came by it since the new one was made." in page
    change(house, previous_used_at=house.now)
    assert "A mail came by it" in owner.get(f"{where}/").text
    send(owner, where, "old-password")
    assert not opened(house, first)
    assert "The old password is still valid" not in owner.get(f"{where}/").text
    assert ("connection.end_old_secret", "Web shop") in actions(house)


def test_a_renewal_that_is_sent_twice_happens_once(house: House, owner: Browser, where: str) -> None:
    house.now += 1
    form = {**hidden(owner.get(f"{where}/password").text), "keep": "3600"}
    pages = [owner.post(f"{where}/password", f"{where}/password", **form).text for _ in range(2)]
    assert len({re.search(r'data-copy="([0-9A-Za-z]{40})"', page)[1] for page in pages}) == 1  # type: ignore[index]
    house.now += 61
    assert owner.post(f"{where}/password", f"{where}/password", **form).status_code == 302
    assert "the password has been shown since you opened the page" in owner.get(f"{where}/password").text


@pytest.mark.parametrize("keep", ["", "5", "-1", "99999999"])
def test_only_the_offered_overlaps_can_be_chosen(house: House, owner: Browser, where: str, keep: str) -> None:
    before = facts(house).revealed_at
    form = hidden(owner.get(f"{where}/password").text)
    assert owner.post(f"{where}/password", f"{where}/password", **form, keep=keep).status_code == 200
    assert facts(house).revealed_at == before


def test_it_is_paused_and_resumed(house: House, owner: Browser, where: str) -> None:
    send(owner, where, "pause", reason="moved")
    assert facts(house).paused == "moved"
    assert "No mail is taken from it until you resume." in owner.get(f"{where}/").text
    send(owner, where, "resume")
    assert facts(house).active
    answer = send(owner, where, "pause", reason="x" * 201)
    assert answer.status_code == 400
    assert "1 to 200 printable characters" in answer.text
    assert [action for action, _ in actions(house)] == ["connection.pause", "connection.resume"]
    with house.store.write() as session:
        assert orders.orders(session) == []
        stop_one(session, session.scalars(select(Connection)).one(), "11 of 200 recipients bounced", house.now)
    assert f"{where}/resume" not in owner.get(f"{where}/").text
    assert "only the operator resumes it" in send(owner, where, "resume").text
    send(owner, where, "retire")
    assert "it cannot be given up before it is resumed" in owner.get(f"{where}/").text
    assert facts(house).stopped


def test_what_bounced_and_was_complained_about_is_shown_with_what_is_too_much(
    house: House, owner: Browser, where: str
) -> None:
    assert "Bounces and complaints" not in owner.get(f"{where}/").text
    one, shop = facts(house).id, house.ids["shop"]
    figures = {"delivered": 1_970, "bounced": 30, "complained": 1}
    with house.store.write() as session:
        count(session, [Change(shop, one, NOW, *figure, "shop.example", "Google") for figure in figures.items()])
    page = " ".join(owner.get(f"{where}/").text.split())
    for text in ("2,000", "1.5%", ">1</dd>", "more than 5.0%", "more than 0.3%", "Of the last 7 days."):
        assert text in page


def test_what_the_guard_says_is_said_in_german(house: House, owner: Browser, where: str) -> None:
    for verdict in (Verdict("bounces", 1_011, 20_000, 50), Verdict("complaints", 4, 900, 3)):
        change(house, paused=conduct.reason(verdict, 7))
        page = owner.get(f"{where}/", **{"Accept-Language": "de"}).text
        assert "This connection" not in page
        assert {"bounces": "1.011 von 20.000 Empfängern", "complaints": "haben sich beschwert"}[verdict.cause] in page


def test_limits_names_and_domains_are_changed(house: House, owner: Browser, where: str) -> None:
    send(owner, where, "limits", per_hour="10", per_day="0", per_month="5000")
    assert facts(house).caps == Caps(10, 0, 5000)
    send(owner, where, "name", name="Shop 2", system="laravel")
    assert (facts(house).name, facts(house).system) == ("Shop 2", "laravel")
    with house.store.write() as session:
        from postmeter.store import accounts, domains

        account = accounts.account_by_name(session, "shop")
        domains.add_domain(session, house.secrets, account, "b.example", "a@b.example", False, [], NOW)
    owner.client.post(
        f"{where}/domains",
        data={"csrf_token": token(owner, where), "domains": ["b.example", "shop.example"]},
        headers=owner.headers,
    )
    assert facts(house).domains == ("b.example", "shop.example")
    page = owner.get(f"{where}/").text
    assert "The DKIM record of b.example has not been verified yet." in page


def test_it_is_said_how_its_messages_are_delivered(house: House, owner: Browser, where: str) -> None:
    send(owner, where, "delivery", priority="urgent", lifetime=" 10m", tls="y")
    assert facts(house).handling == Handling(0, 600, True)
    page = owner.get(f"{where}/").text
    assert re.search(r'<option selected value="urgent">', page)
    assert re.search(r'name="lifetime"[^>]* value="10m"', page)
    assert re.search(r"<input checked[^>]* name=\"tls\"", page)
    send(owner, where, "delivery", priority="bulk", lifetime="")
    assert facts(house).handling == Handling(2, 0, False)
    assert actions(house) == [("connection.delivery", "Web shop")] * 2


def token(owner: Browser, where: str) -> str:
    return re.search(r'name="csrf_token"[^>]*value="([^"]+)"', owner.get(f"{where}/").text)[1]  # type: ignore[index]


@pytest.mark.parametrize(
    ("what", "fields", "problem"),
    [
        ("limits", {"per_hour": "-1", "per_day": "0", "per_month": "0"}, "Number must be between"),
        ("limits", {"per_hour": "many", "per_day": "0", "per_month": "0"}, "Not a valid integer value"),
        ("name", {"name": "", "system": "other"}, "This field is required"),
        ("name", {"name": "Forum", "system": "other"}, "has a connection 'Forum' already"),
        ("delivery", {"priority": "normal", "lifetime": "6d"}, "'6d' is no lifetime between 1 minute and 5 days"),
        ("delivery", {"priority": "fast", "lifetime": ""}, "Not a valid choice"),
        ("domains", {}, "a connection needs a sending domain"),
        ("pause", {"reason": ""}, "This field is required"),
    ],
)
def test_what_cannot_be_is_told_and_changes_nothing(
    house: House, owner: Browser, where: str, what: str, fields: dict[str, str], problem: str
) -> None:
    house.connection("shop", "Forum")
    answer = send(owner, where, what, **fields)
    assert answer.status_code == 400
    assert problem.lower() in html.unescape(answer.text).lower()
    assert actions(house) == []


def test_one_that_is_given_up_is_gone(house: House, owner: Browser, where: str) -> None:
    assert send(owner, where, "retire").headers["Location"].endswith(ALL)
    page = owner.get(ALL).text
    assert "The connection Web shop is given up. Its messages stay." in page
    assert "No connection yet." in page
    assert owner.get(f"{where}/").status_code == 404
    assert send_without_page(owner, where, "retire") == 404
    assert actions(house) == [("connection.retire", "Web shop")]


def send_without_page(owner: Browser, where: str, what: str) -> int:
    return owner.post(f"{where}/{what}", "/accounts/shop/connect/").status_code


def test_viewers_see_and_change_nothing(house: House, app: Flask, where: str, password: NewPassword) -> None:
    viewer = Browser(app)
    viewer.log_in(house.member("shop", "viewer@shop.example", "viewer", password))
    page = viewer.get(f"{where}/").text
    assert facts(house).username in page
    assert "<form" not in page.partition('id="content"')[2].partition('id="card"')[0]
    assert viewer.get(f"{where}/password").status_code == 403
    assert viewer.post(f"{where}/retire", "/accounts/shop/connections/").status_code == 403
    assert "Connect a new system" not in viewer.get(ALL).text


def test_another_accounts_connection_is_not_there(app: Flask, where: str) -> None:
    other = Browser(app)
    other.log_in(OTHER)
    foreign = where.replace("/accounts/shop/", "/accounts/forum/")
    assert other.get(f"{foreign}/").status_code == 404
    assert other.get(f"{foreign}/password").status_code == 404
    for what in ("name", "domains", "limits", "pause", "resume", "old-password", "retire", "password"):
        assert send_without_page_of(other, foreign, what) == 404


def send_without_page_of(other: Browser, where: str, what: str) -> int:
    return other.post(f"{where}/{what}", "/accounts/forum/connect/", name="x", reason="x").status_code


def test_hostile_names_are_text(house: House, owner: Browser) -> None:
    number = house.connection("shop", "<script>alert(1)</script>")
    for page in (ALL, f"{ALL}{number}/", f"{ALL}{number}/password"):
        assert "<script>alert" not in owner.get(page).text
