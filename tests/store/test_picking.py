"""Whose turn it is when more is due than can be taken: urgent before bulk, accounts alike, providers alike."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable
from typing import Any

import pytest
from sqlalchemy import insert, text, update

from postmeter.store.base import table
from postmeter.store.engine import Store
from postmeter.store.picking import SERVED, STEPS, Load, Pick, Picking, Room, Wish
from postmeter.store.tables import DEFERRED, QUEUED, Message, Recipient
from support.postage import Unlimited, accept, add_worker, explained, funded, recipients, submission, watched, wish
from support.stored import add_message
from support.tenants import NOW


def wait(store: Store, account: int, number: int, **columns: Any) -> None:
    """So many recipients of a message of the account wait, due since a while, with these columns."""
    with store.write() as session:
        identifier = f"{account:03d}{columns.get('priority', 1)}{columns.get('provider', ''):.>20}{number:06d}"[:26]
        add_message(session, identifier, account, [(DEFERRED, "")])
        values = {"next_attempt_at": NOW - 100, **columns}
        session.execute(update(Recipient).where(Recipient.message_id == identifier).values(**values))
        session.execute(update(Message).where(Message.id == identifier).values(priority=columns.get("priority", 1)))
        [row] = session.execute(table(Recipient).select().where(Recipient.message_id == identifier)).mappings()
        if number > 1:
            session.execute(insert(table(Recipient)), [{**row, "n": n} for n in range(1, number)])


def pick(
    store: Store, picking: Picking, limit: int, room: Room | None = None, worker: int = 1, at: float = NOW
) -> Pick:
    """One pick."""
    with store.write() as session:
        [made] = picking(session, [Wish(worker, at, limit, room or Unlimited())])
    return made


def taken(made: Pick | Iterable[Pick]) -> Tally[tuple[int, str]]:
    """How many recipients of which account and provider."""
    picks = [made] if isinstance(made, Pick) else made
    all_leases = [leased for each in picks for leased in each.leases]
    return Tally((leased.message.account_id, r.provider) for leased in all_leases for r in leased.recipients)


class Shares:
    """Room for so many recipients of each account."""

    def __init__(self, **most: int) -> None:
        self._left = {int(name.removeprefix("account")): number for name, number in most.items()}

    def fits(self, load: Load) -> bool:
        """See ``Room``."""
        return self._left[load.account_id] >= load.recipients

    def enter(self, load: Load) -> None:
        """See ``Room``."""
        self._left[load.account_id] -= load.recipients


def test_whoever_has_much_due_leaves_the_others_their_turn(store: Store) -> None:
    wait(store, 1, 3000, next_attempt_at=NOW - 5000)
    wait(store, 2, 1, next_attempt_at=NOW - 1)
    wait(store, 3, 40, next_attempt_at=NOW - 2)
    made = pick(store, Picking(), 60)
    assert taken(made) == {(1, ""): 17, (2, ""): 1, (3, ""): 17}
    assert made.more


def test_within_an_account_each_provider_has_its_turn_and_so_has_what_was_not_tried_yet(store: Store) -> None:
    wait(store, 1, 3000, provider="Dead", next_attempt_at=NOW - 5000)
    wait(store, 1, 3, provider="Google")
    wait(store, 1, 5, provider="", state=QUEUED, next_attempt_at=NOW)
    wait(store, 2, 50, provider="Dead")
    picking = Picking()
    assert taken(pick(store, picking, 80)) == {(1, "Dead"): 11, (1, "Google"): 3, (1, ""): 5, (2, "Dead"): 35}


def test_the_urgent_come_first_and_the_others_get_a_part(store: Store) -> None:
    for priority in range(3):
        wait(store, 1, 1000, priority=priority)
    picking = Picking()
    seen = Tally(leased.message.priority for leased in pick(store, picking, 640).leases for _ in leased.recipients)
    assert seen == {0: 560, 1: 70, 2: 10}


def test_only_what_is_due_is_taken_the_longest_due_first(store: Store) -> None:
    wait(store, 1, 30, next_attempt_at=NOW - 1)
    wait(store, 1, 1, next_attempt_at=NOW - 2, provider="a")
    wait(store, 2, 500, next_attempt_at=NOW + 1)
    picking = Picking()
    picks = [pick(store, picking, 8, at=NOW + n / 1000) for n in range(8)]
    assert taken(picks) == {(1, ""): 30, (1, "a"): 1}
    assert not picks[-1].more
    assert sum(r.lease_owner == 1 for r in recipients(store)) == 31


def test_more_lanes_than_one_pick_looks_at_come_round_one_after_the_other(store: Store) -> None:
    accounts = range(1, STEPS // 2 + SERVED)  # an account takes a step for its lane and one to go on
    with store.write() as session:
        add_message(session, "a" * 26, 1, [(QUEUED, "")])
        [message] = session.execute(table(Message).select()).mappings()
        [row] = session.execute(table(Recipient).select()).mappings()
        session.execute(insert(table(Message)), [{**message, "id": f"{a:026d}", "account_id": a} for a in accounts])
        changed = {"next_attempt_at": NOW, "account_id": 1}
        rows = [
            {**row, **changed, "message_id": f"{a:026d}", "account_id": a, "n": n} for a in accounts for n in (0, 1)
        ]
        session.execute(insert(table(Recipient)), rows)
    picking, picks = Picking(), []
    for n in range(len(accounts) // SERVED + 2):
        picks.append(pick(store, picking, SERVED, at=NOW + n / 1000))
    firsts = [account for account, _ in taken(picks[: len(accounts) // SERVED])]
    assert len(set(firsts)) == len(firsts)  # nobody twice before everybody had a turn
    while picks[-1].more:
        picks.append(pick(store, picking, SERVED, at=NOW + len(picks) / 1000))
    assert taken(picks) == {(account, ""): 2 for account in accounts}


def test_all_lanes_are_looked_at_once_and_not_until_all_priorities_end_together(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postmeter.store.picking.STEPS", 4)
    accounts = [*range(1, 6), *range(11, 25)]
    for account in accounts:  # so that the one priority takes 3 picks, the other one 8
        wait(store, account, 1, priority=1 if account < 10 else 2)
    picking, full = Picking(), Shares(**{f"account{account}": 0 for account in accounts})
    for _ in range(3):
        picks = [pick(store, picking, 2, full)]
        while picks[-1].more:
            picks.append(pick(store, picking, 2, full))
        assert len(picks) <= 9


@pytest.mark.parametrize("backlog", [False, True])
def test_what_there_is_no_room_for_stays(store: Store, backlog: bool) -> None:
    wait(store, 1, 40, next_attempt_at=NOW - 500)
    wait(store, 2, 5)
    room = Shares(account1=0, account2=9)
    made = pick(store, Picking(), 20 if backlog else 100, room)
    assert taken(made) == {(2, ""): 5}
    assert made.left
    again = pick(store, Picking(), 20 if backlog else 100, room, at=NOW + 1)
    assert (again.leases, again.left, again.more) == ((), True, False)  # a third one would find nothing either


def test_of_a_message_all_that_is_due_in_a_lane_counts_as_one_load(store: Store) -> None:
    funded(store)
    accept(store, submission(5), submission(2))
    made = pick(store, Picking(), 100, Shares(account1=4), worker=add_worker(store))
    assert taken(made) == {(1, ""): 2}
    assert [(Load.of(leased).receiver, leased.message.size) for leased in made.leases] == [("example.net", 25)]


def test_a_receiver_is_the_provider_by_its_name_or_else_the_domain(store: Store) -> None:
    wait(store, 1, 1, provider="other")
    wait(store, 2, 1, provider="Google")
    made = pick(store, Picking(), 10)
    assert {Load.of(leased).receiver for leased in made.leases} == {"example.net", "Google"}


def test_two_workers_of_one_process_have_turns_of_their_own(store: Store) -> None:
    for account in (1, 2):
        wait(store, account, 100)
    picking = Picking()
    seen = [taken(pick(store, picking, 2, worker=worker, at=NOW + worker)) for worker in (1, 2)]
    assert seen == [{(1, ""): 1, (2, ""): 1}] * 2


def test_two_workers_at_once_pass_over_what_the_other_is_just_leasing(postgres_url: str) -> None:
    store = Store.open(postgres_url)
    try:
        for account in (1, 2):
            wait(store, account, 50)
        with store.write() as first, store.write() as second:
            second.execute(text("SET LOCAL lock_timeout = '5s'"))
            [one] = Picking()(first, [wish(1, NOW, 40)])
            [two] = Picking()(second, [wish(2, NOW, 40)])
        assert [sum(taken(each).values()) for each in (one, two)] == [34, 34]
        owners = Tally(r.lease_owner for r in recipients(store))
        assert owners == {1: 34, 2: 34, None: 32}
    finally:
        store.close()


def test_no_pick_reads_all_that_waits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    wait(store, 1, 300)
    ran = watched(monkeypatch)
    pick(store, Picking(), 20)
    backlog, *lanes_and_rows, _take, _suppressions = [explained(store, *each) for each in ran]
    assert "ix_recipient_due" in backlog
    assert [plan for plan in lanes_and_rows if "ix_recipient_turn" not in plan] == []
    assert [plan for plan in lanes_and_rows if "ix_recipient_due" in plan or "SCAN r" in plan] == []
