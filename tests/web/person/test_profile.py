"""A person's own page: language, time zone, accounts; and the language at the foot of every page."""

from __future__ import annotations

import pytest

from postmeter.store import accounts
from postmeter_web.person.devices import device
from postmeter_web.person.profile import timezones
from support.panel import OTHER, OWNER, Browser, House


def preferences(house: House) -> tuple[str, str]:
    with house.store.read() as session:
        facts = accounts.user_by_email(session, OWNER)
    assert facts
    return facts.language, facts.timezone


def test_language_and_time_zone_are_chosen(owner: Browser, house: House) -> None:
    assert "Europe/Berlin" in owner.get("/me/").text
    assert owner.post("/me/", "/me/", language="de", timezone=" Europe/Berlin ").status_code == 302
    assert preferences(house) == ("de", "Europe/Berlin")
    assert "Gespeichert." in owner.get("/me/").text
    assert "MEZ" in owner.get("/me/").text
    assert owner.post("/me/", "/me/", language="", timezone="").status_code == 302
    assert preferences(house) == ("", "")


@pytest.mark.parametrize("wrong", [{"timezone": "Mars/Olympus"}, {"timezone": "../../etc/passwd"}, {"language": "xx"}])
def test_what_there_is_not_is_refused(owner: Browser, house: House, wrong: dict[str, str]) -> None:
    assert owner.post("/me/", "/me/", **{"language": "de", "timezone": "UTC"} | wrong).status_code == 400
    assert preferences(house) == ("", "")


def test_all_time_zones_are_offered() -> None:
    assert {"Europe/Berlin", "America/New_York", "UTC"} <= set(timezones())
    assert "localtime" not in timezones()


def test_a_language_is_chosen_before_the_log_in(browser: Browser) -> None:
    answer = browser.post("/language", "/login?next=/me/", language="de", next="/login?next=/me/")
    assert answer.headers["Location"] == "/login?next=/me/"
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert "Anmelden" in browser.get("/login").text


def test_the_page_leads_back_to_itself(browser: Browser, owner: Browser) -> None:
    assert 'name="next" value="/forgotten"' in browser.get("/forgotten").text
    page = owner.get("/accounts/shop/team/log?find=a%26b").text
    assert 'name="next" value="/accounts/shop/team/log?find=a%26b"' in page


def test_who_is_logged_in_keeps_the_language_everywhere(owner: Browser, house: House) -> None:
    owner.post("/me/", "/me/", language="", timezone="Europe/Berlin")
    owner.post("/language", "/me/", language="de", next="/me/")
    assert preferences(house) == ("de", "Europe/Berlin")


@pytest.mark.parametrize(
    ("language", "target", "status", "where"),
    [("xx", "/me/", 404, None), ("de", "//evil.example", 302, "/"), ("de", "https://evil.example", 302, "/")],
)
def test_no_other_language_and_no_other_site(
    browser: Browser, language: str, target: str, status: int, where: str | None
) -> None:
    answer = browser.post("/language", "/login", language=language, next=target)
    assert (answer.status_code, answer.headers.get("Location")) == (status, where)


def test_an_account_is_left_by_who_is_not_its_last_owner(owner: Browser, house: House) -> None:
    leave = "/me/accounts/shop/leave"
    assert owner.post(leave, "/me/").headers["Location"] == "/me/"
    assert "at least one owner" in owner.get("/me/").text
    with house.store.write() as session:
        accounts.set_role(session, house.ids["shop"], OTHER, "owner")
    assert owner.post(leave, "/me/").headers["Location"] == "/me/"
    assert "do not belong to the account shop any more" in owner.get("/me/").text
    assert owner.get("/accounts/shop/").status_code == owner.post(leave, "/me/").status_code == 404


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit Chrome/128.0 Safari/537.36 Edg/128.0", "Edge, Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Version/17.0 Safari/604.1", "Safari, iPhone"),
        ("Mozilla/5.0 (Linux; Android 14) AppleWebKit Chrome/128.0 Mobile Safari/537.36", "Chrome, Android"),
        ("curl/8.0", "curl"),
    ],
)
def test_a_browser_is_named_in_words(agent: str, name: str) -> None:
    assert device(agent) == name


def test_what_a_browser_calls_itself_is_only_text(browser: Browser) -> None:
    browser.headers["User-Agent"] = '"><script>alert(1)</script>'
    browser.log_in(OWNER)
    page = browser.get("/me/").text
    assert "Unknown browser" in page
    assert "<script>alert" not in page
