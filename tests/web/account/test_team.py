"""The team's pages: who sees and does what, and the log of it."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from postmeter.store import accounts, audit, team
from postmeter.store.secrets import NewPassword
from support.panel import OTHER, OWNER, Browser, House
from support.people import link, mails, text

TEAM = "/accounts/shop/team/"
ANN, BOB = "ann@shop.example", "bob@shop.example"


@pytest.fixture
def people(house: House, password: NewPassword) -> dict[str, int]:
    """The numbers of the owner, the admin Ann and the viewer Bob."""
    house.member("shop", ANN, "admin", password)
    house.member("shop", BOB, "viewer", password)
    with house.store.read() as session:
        return {one.email: one.user_id for one in team.members(session, house.ids["shop"])}


def at(app: Flask, email: str) -> Browser:
    browser = Browser(app, "192.0.2.20")
    assert browser.log_in(email).status_code == 302
    return browser


def roles(house: House, account: str = "shop") -> dict[str, str]:
    with house.store.read() as session:
        return {one.email: one.role for one in team.members(session, house.ids[account])}


def log(house: House) -> list[tuple[str, str, str]]:
    """Actor, action and subject of the account's changes, the latest first."""
    with house.store.read() as session:
        return [(one.actor, one.action, one.subject) for one in audit.entries(session, house.ids["shop"])]


def test_members_see_the_team_and_managers_what_they_can_change(app: Flask, people: dict[str, int]) -> None:
    for email, manages in ((ANN, True), (BOB, False)):
        page = at(app, email).get(TEAM).text
        for member in people:
            assert member in page
        for part in ("Invite somebody", "Audit log", f"{TEAM}{people[BOB]}/"):
            assert (part in page) == manages


def test_a_viewer_changes_nothing(app: Flask, house: House, people: dict[str, int]) -> None:
    bob, before = at(app, BOB), roles(house)
    own = people[BOB]
    for verb in ("", f"{own}/role", f"{own}/remove", "invitations/1/again", "invitations/1/withdraw"):
        assert bob.post(f"{TEAM}{verb}", TEAM, email="x@shop.example", role="owner").status_code == 403
    assert bob.get(f"{TEAM}log").status_code == bob.get(f"{TEAM}{own}/").status_code == 403
    assert roles(house) == before


def test_an_owner_gives_another_role(owner: Browser, house: House, people: dict[str, int]) -> None:
    page = f"{TEAM}{people[BOB]}/"
    assert "Viewer" in owner.get(page).text
    assert owner.post(f"{page}role", page, role="admin").status_code == 302
    assert "bob@shop.example has the role Admin now." in owner.get(TEAM).text
    assert roles(house)[BOB] == "admin"
    assert log(house)[0] == (OWNER, "team.role", BOB)


def test_an_admin_cannot_touch_owners(app: Flask, house: House, people: dict[str, int]) -> None:
    ann, page, before = at(app, ANN), f"{TEAM}{people[OWNER]}/", roles(house)
    assert "Only an owner changes or removes an owner." in ann.get(page).text
    for path, role in ((f"{page}role", "viewer"), (f"{page}remove", ""), (f"{TEAM}{people[BOB]}/role", "owner")):
        assert ann.post(path, TEAM, role=role).headers["Location"] == TEAM
        assert "only an owner" in ann.get(TEAM).text
    assert 'value="owner"' not in ann.get(TEAM).text
    assert roles(house) == before
    assert [entry for entry in log(house) if entry[1] != "user.login"] == []


def test_a_member_is_removed_and_out_at_once(app: Flask, owner: Browser, house: House, people: dict[str, int]) -> None:
    bob, page = at(app, BOB), f"{TEAM}{people[BOB]}/"
    assert bob.get("/accounts/shop/").status_code == 200
    assert owner.post(f"{page}remove", page).status_code == 302
    assert bob.get("/accounts/shop/").status_code == 404
    assert "bob@shop.example does not belong to the account any more." in owner.get(TEAM).text
    assert owner.get(page).status_code == owner.post(f"{page}remove", TEAM).status_code == 404


def test_the_last_owner_stays(owner: Browser, house: House, people: dict[str, int]) -> None:
    page = f"{TEAM}{people[OWNER]}/"
    for verb in ("role", "remove"):
        assert owner.post(f"{page}{verb}", page, role="viewer").status_code == 302
        assert "at least one owner" in owner.get(TEAM).text
    assert roles(house)[OWNER] == "owner"


def test_who_removes_himself_is_led_to_where_he_may_be(app: Flask, house: House, people: dict[str, int]) -> None:
    ann, page = at(app, ANN), f"{TEAM}{people[ANN]}/"
    assert ann.post(f"{page}role", page, role="billing").headers["Location"] == "/"
    assert ann.get("/").headers["Location"] == "/accounts/shop/quota/"
    assert "ann@shop.example has the role Billing now." in ann.get("/accounts/shop/quota/").text


def test_an_invitation_is_a_mail_in_the_reader_s_language(owner: Browser, house: House) -> None:
    with house.store.write() as session:
        accounts.set_preferences(session, accounts.known_user(session, OTHER).id, language="de", timezone="")
    assert owner.post(TEAM, TEAM, email=OTHER.upper(), role="billing").status_code == 302
    (mail,) = mails(house)
    assert (mail["To"], mail["Subject"]) == (OTHER, "Einladung in das Konto shop")
    assert OWNER in text(mail)
    assert log(house)[0] == (OWNER, "team.invite", OTHER)


def test_what_is_wrong_with_an_invitation_is_said(owner: Browser, house: House) -> None:
    for fields in (
        {"email": "nobody", "role": "viewer"},
        {"email": OWNER, "role": "viewer"},
        {"email": OTHER, "role": "x"},
    ):
        assert owner.post(TEAM, TEAM, **fields).status_code == 400
    assert mails(house) == []


def test_an_invitation_is_sent_again_and_taken_back(owner: Browser, house: House, app: Flask) -> None:
    owner.post(TEAM, TEAM, email="new@shop.example", role="viewer")
    paths = []
    for verb in ("again", "withdraw"):
        paths.append(link(mails(house)[-1]))
        found = re.search(rf"{TEAM}invitations/\d+/{verb}", owner.get(TEAM).text)
        assert found
        assert owner.post(found[0], TEAM).status_code == 302
    assert paths[0] != paths[1]
    assert [Browser(app, "192.0.2.3").get(path).status_code for path in paths] == [302, 302]
    assert "No invitation is open" in owner.get(TEAM).text
    for path in (found[0], found[0].replace("withdraw", "again")):
        assert owner.post(path, TEAM).status_code == 404


def test_nobody_is_written_to_without_end(owner: Browser, house: House) -> None:
    answers = [owner.post(TEAM, TEAM, email="new@shop.example", role="viewer").status_code for _ in range(4)]
    assert answers == [302, 302, 302, 429]
    assert len(mails(house)) == 3


def test_another_account_s_people_and_invitations_are_not_there(
    owner: Browser, app: Flask, house: House, people: dict[str, int]
) -> None:
    owner.post(TEAM, TEAM, email="new@shop.example", role="viewer")
    other, forum = at(app, OTHER), "/accounts/forum/team/"
    assert other.get(f"{forum}{people[BOB]}/").status_code == 404
    assert other.get(TEAM).status_code == 404
    for verb in ("invitations/1/withdraw", "invitations/1/again", f"{people[BOB]}/role", f"{people[BOB]}/remove"):
        assert other.post(f"{forum}{verb}", forum, role="admin").status_code == 404
    assert roles(house)[BOB] == "viewer"
    assert "new@shop.example" in owner.get(TEAM).text
    assert "new@shop.example" not in other.get(forum).text


def test_the_operator_helps_a_team_under_his_name(operator: Browser, house: House, people: dict[str, int]) -> None:
    operator.view("shop")
    page = f"{TEAM}{people[BOB]}/"
    assert operator.post(f"{page}role", page, role="owner").status_code == 302
    assert roles(house)[BOB] == "owner"
    assert log(house)[0][:2] == ("operator@relay.example", "team.role")
    assert operator.post("/me/accounts/shop/leave", "/me/").status_code == 404


def test_the_log_has_the_account_s_changes_and_pages(app: Flask, owner: Browser, house: House) -> None:
    with house.store.write() as session:
        for account, subject in (("shop", "<b>own</b>"), ("forum", "foreign")):
            for n in range(60):
                actor = audit.Actor(1, OWNER, "192.0.2.1")
                number = house.ids[account]
                audit.record(session, actor, "connection.pause", f"{subject} {n}", house.now, account_id=number)
    page = owner.get(f"{TEAM}log").text
    assert "foreign" not in page
    assert "<b>own</b>" not in page
    assert page.count("connection.pause") == 50
    older = re.search(r'href="([^"]*before=[^"]*)"', page)
    assert older
    second = owner.get(older[1].replace("&amp;", "&")).text
    assert "&lt;b&gt;own&lt;/b&gt; 0<" in second
    assert second.count("connection.pause") == 10
    assert owner.get(f"{TEAM}log?find=own%3C/b%3E+59").text.count("<td><code>") == 1
    assert "Nothing fits" in owner.get(f"{TEAM}log?find=nothing").text
    assert "Nothing was changed yet" in at(app, OTHER).get("/accounts/forum/team/log?before=1").text
