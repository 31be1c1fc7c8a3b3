"""Connecting a new system: each step waits for what it needs, and the password is shown once."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from flask import Flask

from postmeter.fetch import Fetched, FetchError
from postmeter.store import connections, domains
from postmeter.store.connections import ConnectionFacts
from postmeter.store.secrets import NewPassword
from postmeter.store.tables import Message
from support.panel import OTHER, Browser, House

HERE = "/accounts/shop/connect"
HELP = "https://shop.example/help"


@pytest.fixture(autouse=True)
def reachable(monkeypatch: pytest.MonkeyPatch) -> dict[str, Fetched | FetchError]:
    """What pages answer, by URL; all others are there."""
    pages: dict[str, Fetched | FetchError] = {}

    def fetch(method: str, url: str, *, timeout: float, allow_private: bool, max_body: int) -> Fetched:
        assert (method, timeout, allow_private) == ("GET", 5.0, False)
        answer = pages.get(url, Fetched(200, {}, b""))
        if isinstance(answer, FetchError):
            raise answer
        return answer

    monkeypatch.setattr("postmeter_web.account.links.fetch", fetch)
    return pages


def facts(house: House, name: str = "Web shop") -> ConnectionFacts:
    with house.store.read() as session:
        return next(c for c in connections.connections_of(session, house.ids["shop"]) if c.name == name)


def begin(owner: Browser, name: str = "Web shop", system: str = "shopware") -> str:
    """The address of the new connection's steps."""
    answer = owner.post(f"{HERE}/", f"{HERE}/", name=name, system=system)
    assert answer.status_code == 302, answer.text
    return answer.headers["Location"].rpartition("/")[0]


def choose(owner: Browser, where: str, **fields: str) -> Any:
    return owner.post(f"{where}/domain", f"{where}/domain", **{"domain": "", "name": "", "list_help": "", **fields})


def publish(house: House, name: str = "shop.example") -> None:
    """Put the domain's records into the DNS."""
    with house.store.read() as session:
        found = domains.domain_of(session, house.ids["shop"], name)
    assert found is not None
    house.dns |= {(record.name, "TXT"): (record.value,) for record in found.records}


def ready(house: House, owner: Browser) -> str:
    """A connection whose access data can be shown."""
    where = begin(owner)
    choose(owner, where, name="shop.example", list_help=HELP)
    publish(house)
    owner.get(f"{where}/dns")
    return where


def reveal_form(page: str) -> dict[str, str]:
    return {name: html.unescape(re.search(rf'name="{name}"[^>]*value="([^"]*)"', page)[1]) for name in ("seen", "key")}  # type: ignore[index]


def password_in(page: str) -> str:
    found = re.search(r'data-copy="([0-9A-Za-z]{40})"', page)
    return found[1] if found else ""


def logs_in(house: House, password: str) -> bool:
    with house.store.read() as session:
        found = connections.access(session, facts(house).username, house.now)
    return found is not None and found.opened_by(house.secrets.hash_token(password)) is not None


def test_a_system_is_connected_from_its_name_to_its_password(house: House, owner: Browser) -> None:
    where = begin(owner)
    assert facts(house).state == "draft"
    assert owner.get(f"{where}/").headers["Location"].endswith("/domain")
    assert choose(owner, where, name="Shop.example", list_help=HELP).headers["Location"].endswith("/dns")
    page = owner.get(f"{where}/dns").text
    assert "Publish the DKIM record of shop.example." in page
    assert "There is no TXT record." in page
    assert facts(house).state == "pending"
    assert owner.get(f"{where}/access").headers["Location"].endswith(f"{where}/")
    publish(house)
    house.now += 11
    assert "The DKIM record is there" in owner.get(f"{where}/dns/live").text
    page = owner.get(f"{where}/access").text
    assert password_in(page) == ""
    shown = owner.post(f"{where}/access", f"{where}/access", **reveal_form(page))
    assert shown.headers["Cache-Control"] == "no-store"
    password = password_in(shown.text)
    assert logs_in(house, password)
    assert f"smtp://{facts(house).username}:{password}@127.0.0.1:2587" in html.unescape(shown.text)
    assert password not in owner.get(f"{where}/access").text
    assert "YOUR-PASSWORD" in owner.get(f"{where}/access").text


def test_every_step_is_in_the_audit_log_and_no_secret_is(house: House, owner: Browser) -> None:
    where = ready(house, owner)
    shown = owner.post(f"{where}/access", f"{where}/access", **reveal_form(owner.get(f"{where}/access").text))
    entries = [(one.action, one.facts) for one in reversed(house.changes())]
    assert [action for action, _ in entries] == [
        *("connection.begin", "connection.domain", "domain.look", "connection.secret")
    ]
    assert password_in(shown.text) not in repr(entries)
    assert entries[-1][1] == {"keep_hours": 0.0, "repeated": False}


def test_a_form_that_is_sent_twice_shows_the_same_password(house: House, owner: Browser) -> None:
    where = ready(house, owner)
    form = reveal_form(owner.get(f"{where}/access").text)
    first = password_in(owner.post(f"{where}/access", f"{where}/access", **form).text)
    house.now += 30
    page = f"{HERE}/"
    assert password_in(owner.post(f"{where}/access", page, **form).text) == first
    house.now += 31
    again = owner.post(f"{where}/access", page, **form)
    assert again.status_code == 302
    assert "the password has been shown since you opened the page" in owner.get(f"{where}/access").text
    assert logs_in(house, first)


def test_a_second_person_does_not_end_the_password_of_the_first(house: House, owner: Browser) -> None:
    where = ready(house, owner)
    mine, yours = (reveal_form(owner.get(f"{where}/access").text) for _ in range(2))
    shown = password_in(owner.post(f"{where}/access", f"{where}/access", **mine).text)
    assert owner.post(f"{where}/access", f"{HERE}/", **yours).status_code == 302
    assert logs_in(house, shown)


def test_what_was_begun_is_found_again(house: House, owner: Browser) -> None:
    where = begin(owner)
    choose(owner, where, name="shop.example", list_help=HELP)
    for page in (f"{HERE}/", "/accounts/shop/connections/"):
        text = owner.get(page).text
        assert f'href="{where}/"' in text
        assert "waiting for DNS" in text
    assert owner.get(f"{where}/").headers["Location"].endswith("/dns")


def test_access_data_are_not_shown_before_the_records_are_there(house: House, owner: Browser) -> None:
    where = begin(owner)
    choose(owner, where, name="shop.example", list_help=HELP)
    page = owner.get(where.replace("/connect/", "/connections/") + "/").text
    assert "They are shown when the DKIM record of shop.example is there." in page
    assert facts(house).username not in page
    house.now += 1
    form = {"seen": "0.0", "key": "mine"}
    assert owner.post(f"{where}/access", f"{HERE}/", **form).headers["Location"].endswith(f"{where}/")
    assert facts(house).revealed_at is None


def test_the_steps_do_not_take_domains_from_a_connection_that_is_set_up(house: House, owner: Browser) -> None:
    number = house.connection("shop", "Web shop")
    answer = owner.post(f"{HERE}/{number}/domain", f"{HERE}/", domain="", name="b.example", list_help=HELP)
    assert answer.headers["Location"].endswith(f"/connections/{number}/")
    assert facts(house).domains == ("shop.example",)


def test_an_existing_domain_needs_no_key_and_keeps_its_help(house: House, owner: Browser) -> None:
    house.connection("shop", "Old")
    where = begin(owner)
    page = owner.get(f"{where}/domain").text
    assert "https://www.example/help" in page
    choose(owner, where, domain="shop.example")
    with house.store.read() as session:
        found = domains.domain_of(session, house.ids["shop"], "shop.example")
    assert found is not None
    assert found.list_help == "<https://www.example/help>"
    assert owner.get(f"{where}/").headers["Location"].endswith("/access"), "its record has been verified"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": "nonsense", "list_help": HELP}, "is not a domain name such as shop.example"),
        ({"name": "shop.example"}, "A new domain needs its help for recipients"),
        ({"name": "shop.example", "list_help": "http://shop.example/"}, "must have an https address"),
        ({"domain": "forum.example"}, "Not a valid choice"),
    ],
)
def test_a_domain_that_cannot_be_is_told(house: House, owner: Browser, fields: dict[str, str], problem: str) -> None:
    house.connection("forum", "Forum")
    where = begin(owner)
    assert problem in html.unescape(choose(owner, where, **fields).text)
    assert facts(house).domains == ()


def test_a_domain_that_is_typed_in_is_meant(house: House, owner: Browser) -> None:
    house.connection("shop", "Old")
    choose(owner, begin(owner), domain="shop.example", name="other.example", list_help="help@other.example")
    assert facts(house).domains == ("other.example",)


def test_a_page_that_is_not_there_is_a_warning(
    house: House, owner: Browser, reachable: dict[str, Fetched | FetchError]
) -> None:
    reachable[HELP] = Fetched(404, {}, b"")
    reachable["https://gone.example/"] = FetchError("the address of gone.example cannot be found: unknown")
    where = begin(owner)
    page = choose(owner, where, name="shop.example", list_help=HELP).text
    assert f"The page {HELP} answers with the error 404." in page
    assert "Use this page although it cannot be reached now" in page
    page = choose(owner, where, name="shop.example", list_help="https://gone.example/").text
    assert "the address of gone.example cannot be found" in page
    assert choose(owner, where, name="shop.example", list_help=HELP, anyway="y").status_code == 302
    assert facts(house).domains == ("shop.example",)


def test_a_mail_address_is_help_enough(owner: Browser) -> None:
    where = begin(owner)
    assert choose(owner, where, name="shop.example", list_help="help@shop.example").status_code == 302


def test_a_dns_server_without_an_answer_changes_nothing(house: House, owner: Browser) -> None:
    where = begin(owner)
    choose(owner, where, name="shop.example", list_help=HELP)
    publish(house)
    house.dns = dict.fromkeys(house.dns)
    assert "the DNS gives no answer about" in owner.get(f"{where}/dns").text
    assert owner.post(f"{where}/dns", f"{where}/dns").status_code == 302
    assert facts(house).state == "pending"


def test_a_look_now_does_not_wait_for_the_next_one(house: House, owner: Browser) -> None:
    where = begin(owner)
    choose(owner, where, name="shop.example", list_help=HELP)
    assert "There is no TXT record." in owner.get(f"{where}/dns").text
    publish(house)
    assert "There is no TXT record." in owner.get(f"{where}/dns").text, "an answer is good for ten seconds"
    owner.post(f"{where}/dns", f"{where}/dns")
    assert "The DKIM record is there" in owner.get(f"{where}/dns").text


def test_a_test_mail_is_followed(house: House, owner: Browser) -> None:
    where = ready(house, owner)
    assert 'value="owner@shop.example"' in owner.get(f"{where}/test").text
    answer = owner.post(f"{where}/test", f"{where}/test", to="ann@kunde.example")
    path = answer.headers["Location"]
    assert "ann@kunde.example" in owner.get(path).text
    assert "<strong>arrived</strong>" in owner.get(f"{path}/live").text
    with house.store.read() as session:
        [mail] = session.query(Message).all()
        assert (mail.connection_id, mail.subject) == (facts(house).id, "Test mail of Web shop")
    other = begin(owner, "Other")
    assert owner.get(path.replace(where, other)).status_code == 404, "it is a mail of another connection"


def test_a_test_mail_says_what_became_of_it(house: House, owner: Browser) -> None:
    from support.postage import add_worker, lease, settle_all

    where = ready(house, owner)
    path = owner.post(f"{where}/test", f"{where}/test", to="ann@kunde.example").headers["Location"]
    worker = add_worker(house.store, lease_until=house.now + 1e6)
    reply = "550 5.1.1 <b>No such user</b>"
    settle_all(house.store, lease(house.store, worker, house.now), worker, "bounced", reply=reply, at=house.now)
    page = owner.get(f"{path}/live").text
    assert "550 5.1.1 &lt;b&gt;No such user" in page
    assert "The connection itself works." in page


def test_test_mails_are_few(house: House, owner: Browser) -> None:
    where = ready(house, owner)
    answers = [owner.post(f"{where}/test", f"{where}/test", to="ann@kunde.example") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [302] * 5 + [200]
    assert "Enough test mails for now; send the next one in 15 minutes." in answers[-1].text


def test_a_test_mail_needs_an_address_and_records(house: House, owner: Browser) -> None:
    where = ready(house, owner)
    assert "is not an address" in html.unescape(owner.post(f"{where}/test", f"{where}/test", to="nobody").text)
    waiting = begin(owner, "Waiting")
    assert (
        "This connection has no sending domain."
        in owner.post(f"{waiting}/test", f"{waiting}/test", to="a@b.example").text
    )


def test_names_are_checked(owner: Browser) -> None:
    begin(owner)
    again = owner.post(f"{HERE}/", f"{HERE}/", name="Web shop", system="other").text
    assert "has a connection &#39;Web shop&#39; already" in again
    assert "1 to 100 printable characters" in owner.post(f"{HERE}/", f"{HERE}/", name="x" * 101, system="other").text


def test_another_accounts_connection_is_not_there(house: House, owner: Browser, app: Flask) -> None:
    where = ready(house, owner)
    other = Browser(app)
    other.log_in(OTHER)
    foreign = where.replace("/accounts/shop/", "/accounts/forum/")
    for step in ("/", "/domain", "/dns", "/dns/live", "/access", "/test", "/test/x", "/test/x/live"):
        assert other.get(f"{foreign}{step}").status_code == 404
    for step in ("/domain", "/dns", "/access", "/test"):
        answer = other.post(f"{foreign}{step}", "/accounts/forum/connect/", domain="", to="a@b.example")
        assert answer.status_code == 404


def test_viewers_and_bookkeepers_connect_nothing(house: House, app: Flask, password: NewPassword) -> None:
    for role in ("viewer", "billing"):
        visitor = Browser(app)
        visitor.log_in(house.member("shop", f"{role}@shop.example", role, password))
        assert visitor.get(f"{HERE}/").status_code == 403


def test_german(house: House, owner: Browser) -> None:
    where = ready(house, owner)
    page = owner.get(f"{where}/access", **{"Accept-Language": "de"}).text
    assert "SMTP-Zugangsdaten" in page
    assert "Passwort einmal anzeigen" in page
