"""The team of an account: who may change whom, invitations, and the last owner."""

from __future__ import annotations

import threading

import pytest

from postmeter.errors import UsageError
from postmeter.store import accounts, team, tickets
from postmeter.store.engine import Store
from postmeter.store.tickets import WEEK
from support.tenants import NOW, PASSWORD, SECRETS, make_account

OWNER, ANN, BOB = "owner@acme.example", "ann@acme.example", "bob@acme.example"


@pytest.fixture
def acme(store: Store) -> int:
    """An account with an owner, the admin Ann and the viewer Bob."""
    with store.write() as session:
        account = make_account(session).id
        for email, role in ((ANN, "admin"), (BOB, "viewer")):
            accounts.add_user(session, email, False, PASSWORD, NOW)
            accounts.set_role(session, account, email, role, NOW + 1)
    return account


def number(store: Store, email: str) -> int:
    with store.read() as session:
        return accounts.known_user(session, email).id


def roles(store: Store, account: int) -> dict[str, str]:
    with store.read() as session:
        return {member.email: member.role for member in team.members(session, account)}


def invite(store: Store, account: int, email: str = "new@acme.example", role: str = "viewer", by: str = "owner") -> str:
    with store.write() as session:
        return team.invite(session, SECRETS, account, by, email, role, number(store, OWNER), NOW)


def test_members_come_by_role_with_what_is_known_of_them(store: Store, acme: int) -> None:
    with store.read() as session:
        found = team.members(session, acme)
    assert [(one.email, one.role, one.since) for one in found] == [
        (OWNER, "owner", NOW),
        (ANN, "admin", NOW + 1),
        (BOB, "viewer", NOW + 1),
    ]
    assert [(one.seen_at, one.second_factor) for one in found] == [(None, False)] * 3


@pytest.mark.parametrize(
    ("by", "who", "role", "allowed"),
    [
        ("owner", BOB, "owner", True),
        ("operator", BOB, "owner", True),
        ("admin", BOB, "admin", True),
        ("admin", BOB, "owner", False),
        ("admin", OWNER, "viewer", False),
        ("viewer", BOB, "admin", False),
        ("billing", BOB, "admin", False),
        ("owner", OWNER, "admin", False),
        ("owner", BOB, "king", False),
    ],
)
def test_who_gives_which_role(store: Store, acme: int, by: str, who: str, role: str, allowed: bool) -> None:
    before, number_ = roles(store, acme), number(store, who)
    if allowed:
        with store.write() as session:
            assert team.change_role(session, acme, by, number_, role).role == before[who]
    else:
        with pytest.raises(UsageError), store.write() as session:
            team.change_role(session, acme, by, number_, role)
    assert roles(store, acme) == before | ({who: role} if allowed else {})


def test_an_admin_removes_members_but_no_owner(store: Store, acme: int) -> None:
    bob, owner = number(store, BOB), number(store, OWNER)
    with store.write() as session:
        assert team.remove(session, acme, "admin", bob).email == BOB
    with pytest.raises(UsageError, match="only an owner"), store.write() as session:
        team.remove(session, acme, "admin", owner)
    with pytest.raises(UsageError, match="any more"), store.write() as session:
        team.remove(session, acme, "admin", bob)
    assert roles(store, acme) == {OWNER: "owner", ANN: "admin"}


def test_the_last_owner_stays(store: Store, acme: int) -> None:
    owner, ann = number(store, OWNER), number(store, ANN)
    with pytest.raises(UsageError, match="at least one owner"), store.write() as session:
        team.leave(session, acme, owner)
    with store.write() as session:
        team.change_role(session, acme, "owner", ann, "owner")
        team.leave(session, acme, owner)
    assert roles(store, acme) == {ANN: "owner", BOB: "viewer"}


def test_of_two_owners_who_leave_at_once_one_stays(store: Store, acme: int) -> None:
    owners = [number(store, OWNER), number(store, ANN)]
    with store.write() as session:
        team.change_role(session, acme, "owner", owners[1], "owner")
    start, refused = threading.Barrier(2), []

    def go(user_id: int) -> None:
        start.wait()
        try:
            with store.write() as session:
                team.leave(session, acme, user_id)
        except UsageError as error:
            refused.append(error)

    threads = [threading.Thread(target=go, args=(user_id,)) for user_id in owners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert list(roles(store, acme).values()) == ["owner", "viewer"]


def test_an_invitation_is_accepted_once_by_whom_it_is_for(store: Store, acme: int) -> None:
    token = invite(store, acme, "New@acme.example", "billing")
    with store.write() as session:
        found = team.invitation(session, SECRETS, token, NOW)
        assert found is not None
        assert (found.email, found.account, found.role, found.by) == ("new@acme.example", "acme", "billing", OWNER)
        assert team.accept(session, SECRETS, token, ANN, NOW) is None
        accounts.add_user(session, found.email, False, PASSWORD, NOW)
        assert team.accept(session, SECRETS, token, found.email, NOW) == found
        assert team.accept(session, SECRETS, token, found.email, NOW) is None
        assert team.invitations(session, acme, NOW) == []
    assert roles(store, acme)["new@acme.example"] == "billing"


def test_an_invitation_ends_after_a_week_or_when_it_is_taken_back(store: Store, acme: int) -> None:
    token = invite(store, acme)
    with store.write() as session:
        assert team.invitation(session, SECRETS, token, NOW + WEEK) is None
        (one,) = team.invitations(session, acme, NOW)
        assert team.withdraw(session, acme, "admin", one.id, NOW).email == "new@acme.example"
        assert team.invitation(session, SECRETS, token, NOW) is None
    with pytest.raises(UsageError, match="not open"), store.write() as session:
        team.withdraw(session, acme, "admin", one.id, NOW)


def test_another_account_s_invitation_cannot_be_touched(store: Store, acme: int) -> None:
    token = invite(store, acme)
    with store.write() as session:
        other = make_account(session, "other").id
        (one,) = team.invitations(session, acme, NOW)
        assert team.invitations(session, other, NOW) == []
    with pytest.raises(UsageError), store.write() as session:
        team.withdraw(session, other, "owner", one.id, NOW)
    with store.read() as session:
        assert team.invitation(session, SECRETS, token, NOW) is not None


def test_who_belongs_to_the_account_is_not_invited_and_keeps_his_role(store: Store, acme: int) -> None:
    with pytest.raises(UsageError, match="already"):
        invite(store, acme, ANN)
    token = invite(store, acme)
    with store.write() as session:
        accounts.add_user(session, "new@acme.example", False, PASSWORD, NOW)
        accounts.set_role(session, acme, "new@acme.example", "admin")
        assert team.accept(session, SECRETS, token, "new@acme.example", NOW) is not None
    assert roles(store, acme)["new@acme.example"] == "admin"


def test_an_admin_invites_no_owner_and_takes_none_back(store: Store, acme: int) -> None:
    with pytest.raises(UsageError, match="only an owner"):
        invite(store, acme, role="owner", by="admin")
    invite(store, acme, role="owner")
    with store.read() as session:
        (one,) = team.invitations(session, acme, NOW)
    with pytest.raises(UsageError, match="only an owner"), store.write() as session:
        team.withdraw(session, acme, "admin", one.id, NOW)


def test_open_invitations_are_bounded_and_one_may_be_sent_again(
    store: Store, acme: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(team, "MOST_INVITATIONS", 1)
    first, second = invite(store, acme), invite(store, acme)
    with store.read() as session:
        assert tickets.find(session, SECRETS, tickets.INVITATION, first, NOW) is None
        assert tickets.find(session, SECRETS, tickets.INVITATION, second, NOW) is not None
    with pytest.raises(UsageError, match="withdraw one"):
        invite(store, acme, "another@acme.example")


def test_who_leaves_takes_the_invitations_along(store: Store, acme: int) -> None:
    ann = number(store, ANN)
    with store.write() as session:
        token = team.invite(session, SECRETS, acme, "admin", "friend@evil.example", "admin", ann, NOW)
        team.remove(session, acme, "owner", ann)
        assert team.invitation(session, SECRETS, token, NOW) is None


def test_an_admin_does_not_replace_the_invitation_of_an_owner(store: Store, acme: int) -> None:
    secret = invite(store, acme, role="owner")
    with pytest.raises(UsageError, match="only an owner"):
        invite(store, acme, role="viewer", by="admin")
    with store.read() as session:
        assert team.invitation(session, SECRETS, secret, NOW)
    assert invite(store, acme, role="viewer", by="owner")
