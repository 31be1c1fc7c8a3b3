"""The page of notices: who is told what, in which language, and a test that is really sent."""

from __future__ import annotations

import pytest

from postmeter.store.secrets import NewPassword
from postmeter.store.tables import Recipient
from postmeter_notify import tables
from postmeter_notify.pages import KINDS
from postmeter_notify.plugin import Notify
from postmeter_notify.settings import KINDS as ALL
from postmeter_notify.settings import NotifySettings
from support.panel import OTHER, OWNER, Browser, House

NOTICES = "/accounts/shop/notify/"


def visit(house: House, email: str = OWNER, *events: str) -> Browser:
    """Somebody in a panel with the plugin, which sends mails about these kinds of events."""
    own = NotifySettings(events=events or ALL)
    browser = Browser(house.app(own_settings={"notify": own}, notify=Notify()))
    assert browser.log_in(email).status_code == 302
    return browser


@pytest.fixture(autouse=True)
def _tables(house: House) -> None:
    with house.store.write() as session:
        tables.create(session.connection())


def language(house: House, account: str = "shop") -> str | None:
    with house.store.read() as session:
        return tables.language_of(session, house.ids[account])


def test_it_says_who_is_told_and_what(house: House, password: NewPassword) -> None:
    house.member("shop", "viewer@shop.example", "viewer", password)
    page = visit(house, OWNER, "quota_low").get(NOTICES).text
    assert f"<li>{OWNER}</li>" in page
    assert "viewer@shop.example" not in page
    assert "fewer mails are left than the account's threshold" in page
    assert "a connection was paused" not in page
    assert set(KINDS) == set(ALL)


def test_the_language_is_chosen_and_taken_back(house: House) -> None:
    owner = visit(house)
    for chosen, kept in (("de", "de"), ("", None)):
        assert owner.post(f"{NOTICES}language", NOTICES, language=chosen).headers["Location"] == NOTICES
        assert language(house) == kept
    assert owner.post(f"{NOTICES}language", NOTICES, language="fr").status_code == 400
    assert [(one.action, dict(one.facts)) for one in house.changes()] == [
        ("notices.language", {"language": ""}),
        ("notices.language", {"language": "de"}),
    ]


def test_a_test_is_sent_to_every_admin(house: House, password: NewPassword) -> None:
    house.member("shop", "admin@shop.example", "admin", password)
    owner = visit(house)
    assert owner.post(f"{NOTICES}test", NOTICES).status_code == 302
    with house.store.read() as session:
        sent = sorted(row.forward_path for row in session.query(Recipient))
    assert sent == ["admin@shop.example", OWNER]
    assert "A test is on its way to: admin@shop.example, owner@shop.example" in owner.get(NOTICES).text


@pytest.mark.parametrize(("role", "reads", "changes"), [("viewer", 200, 403), ("billing", 403, 403)])
def test_who_may_manage_the_account_changes_it(
    house: House, password: NewPassword, role: str, reads: int, changes: int
) -> None:
    browser = visit(house, house.member("shop", f"{role}@shop.example", role, password))
    assert browser.get(NOTICES).status_code == reads
    for path in ("language", "test"):
        assert browser.post(f"{NOTICES}{path}", "/accounts/shop/quota/ledger", language="de").status_code == changes
    assert language(house) is None


def test_a_foreign_account_has_no_such_page(house: House) -> None:
    other = visit(house, OTHER)
    assert other.get(NOTICES).status_code == 404
    assert other.post(f"{NOTICES}language", "/accounts/forum/notify/", language="de").status_code == 404
    assert language(house) is None
