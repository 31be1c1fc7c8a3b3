"""An account's settings: the name, which its owner changes, and what is agreed."""

from __future__ import annotations

import pytest

from postmeter.store import accounts
from postmeter.store.secrets import NewPassword
from support.panel import OWNER, Browser, House

SETTINGS = "/accounts/shop/settings/"
HOSTILE = "<script>alert(1)</script>"


def test_the_owner_renames_the_account_and_its_links_change(house: House, owner: Browser) -> None:
    answer = owner.post(f"{SETTINGS}name", SETTINGS, name="  Müller & Söhne ")
    moved = answer.headers["Location"]
    page = owner.get(moved).text
    assert "Müller &amp; Söhne" in page
    assert "The account has a new name." in page
    assert owner.get(SETTINGS).status_code == 404
    (entry,) = house.changes()
    with house.store.read() as session:
        assert accounts.account_by_name(session, "Müller & Söhne").id == house.ids["shop"]
    assert (entry.action, entry.subject, entry.facts) == ("account.rename", "Müller & Söhne", {"before": "shop"})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("forum", "there is an account &#39;forum&#39; already"),
        ("", "is-invalid"),
        ("   ", "is-invalid"),
        ("a\x1bb", "must have 1 to 100 printable characters"),
        ("x" * 101, "is-invalid"),
    ],
)
def test_a_name_that_cannot_be_is_refused(house: House, owner: Browser, name: str, said: str) -> None:
    answer = owner.post(f"{SETTINGS}name", SETTINGS, name=name)
    assert answer.status_code == 400
    assert said in answer.text
    assert house.changes() == []
    with house.store.read() as session:
        assert accounts.account_by_name(session, "shop").id == house.ids["shop"]


def test_the_same_name_again_is_no_clash(owner: Browser) -> None:
    assert owner.post(f"{SETTINGS}name", SETTINGS, name="shop").headers["Location"] == SETTINGS


@pytest.mark.parametrize(("role", "sees"), [("admin", 200), ("viewer", 200), ("billing", 403)])
def test_only_the_owner_may_rename(house: House, password: NewPassword, role: str, sees: int) -> None:
    browser = Browser(house.app())
    browser.log_in(house.member("shop", f"{role}@shop.example", role, password))
    page = browser.get(SETTINGS)
    assert page.status_code == sees
    assert "Rename" not in page.text
    assert browser.post(f"{SETTINGS}name", "/me/", name="mine").status_code == 403


def test_what_is_agreed_and_whom_to_ask_is_told(owner: Browser) -> None:
    page = owner.get(SETTINGS).text
    assert "none yet; the operator makes one with you" in page
    assert "sends to 25 recipients an hour" in page
    assert "Accounts are closed by the operator of mail.example.net" in page


def test_a_hostile_name_stays_text(owner: Browser) -> None:
    moved = owner.post(f"{SETTINGS}name", SETTINGS, name=HOSTILE).headers["Location"]
    assert HOSTILE not in owner.get(moved).text


def test_the_language_of_the_problem_is_the_visitors(house: House, owner: Browser) -> None:
    with house.store.write() as session:
        from postmeter.store.tables import User

        session.query(User).filter_by(email=OWNER).update({"language": "de"})
    assert "Es gibt schon ein Konto" in owner.post(f"{SETTINGS}name", SETTINGS, name="forum").text
