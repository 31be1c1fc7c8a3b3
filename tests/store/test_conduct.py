"""The guard: which connection is warned or paused for what became of its mail, how often, and until when it counts."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from postmeter.guard import Guard
from postmeter.store import conduct, connections, counters
from postmeter.store.conduct import DAY, HELD, Round, act, look
from postmeter.store.conduct_tables import ConnectionWarning
from postmeter.store.connections import MAX_REASON
from postmeter.store.counters import BUCKET, Change
from postmeter.store.engine import Store
from postmeter.store.pauses import pause, resume, what_waits
from postmeter.store.tables import Account, Connection, Event, Recipient
from support.postage import add_account, at_once
from support.tenants import NOW

AT = NOW // BUCKET * BUCKET + 100.0  # within a quarter of an hour
LIMITS = Guard()
WORKER = 1


@pytest.fixture(autouse=True)
def shops(store: Store) -> None:
    """The connections 1 and 2 of account 1, and 3 of account 2."""
    with store.write() as session:
        for account, names in ((1, ("shop 0", "shop 1")), (2, ("shop 0",))):
            add_account(session, account)
            for name in names:
                username = f"{name} {account}"
                session.add(Connection(account_id=account, name=name, username=username, secret=b"", created_at=NOW))
                session.flush()


def ended(
    store: Store,
    delivered: int = 0,
    bounced: int = 0,
    complained: int = 0,
    *,
    connection: int = 1,
    at: float = AT,
    provider: str = "Google",
    failure: str = "hard.recipient",
    state: str = "bounced",
) -> None:
    """So many recipients of a connection ended like that."""
    account = 1 if connection < 3 else 2
    figures = {"delivered": delivered, "bounced": bounced, "complained": complained}
    with store.write() as session:
        counters.count(
            session, [Change(account, connection, at, *one, "acme.example", provider) for one in figures.items()]
        )
        if bounced:
            first = len(session.scalars(select(Recipient.n)).all())
            numbers = range(first, first + bounced)
            session.add_all(_bounced(account, connection, n, at, provider, failure, state) for n in numbers)


def _bounced(account: int, connection: int, n: int, at: float, provider: str, failure: str, state: str) -> Recipient:
    return Recipient(
        message_id="0" * 26,
        account_id=account,
        n=n,
        connection_id=connection,
        forward_path=f"r{n}@example.net",
        notify="",
        orcpt="",
        state=state,
        leaves_at=at,
        next_attempt_at=at,
        final_at=at,
        charge="charged",
        provider=provider,
        failure=failure,
    )


def go_round(store: Store, now: float = AT, limits: Guard = LIMITS, worker: int = WORKER) -> list[str]:
    """A look and what it leads to; the sentences about what was paused."""
    with store.read() as session:
        made = look(session, worker, limits, now)
    if made is None:
        return []
    with store.write() as session:
        return act(session, [made])[0]


def paused(store: Store) -> dict[int, str]:
    with store.read() as session:
        return {one.id: one.paused for one in session.scalars(select(Connection)) if one.paused}


def awaited(store: Store) -> list[int]:
    with store.read() as session:
        rows = select(ConnectionWarning.connection_id).where(ConnectionWarning.about == "")
        return sorted(session.scalars(rows))


def told(store: Store) -> list[tuple[int, str, dict[str, Any]]]:
    with store.read() as session:
        events = session.scalars(select(Event).where(Event.kind.like("connection_%")).order_by(Event.id))
        return [(event.account_id, event.kind, event.facts) for event in events]


def test_too_many_bounces_pause_that_connection_and_no_other(store: Store) -> None:
    ended(store, 189, 11)
    ended(store, 195, 5, connection=2)
    ended(store, 195, 5, connection=3)
    sentence = "11 of 200 recipients within 7 days bounced, more than 5 %"
    assert go_round(store) == [f"the connection 'shop 0' of account 1 is paused: {sentence}"]
    reason = f"{sentence}; what waits is kept back; take such addresses off the lists, then have it resumed"
    assert paused(store) == {1: reason}
    facts = {"cause": "bounces", "count": 11, "recipients": 200, "permille": 50, "provider": "", "pauses": True}
    about = {"connection": "shop 0", "reason": reason, "days": 7, **facts}
    assert [one for one in told(store) if one[1] == "connection_paused"] == [(1, "connection_paused", about)]
    assert go_round(store) == [], "it is paused already"


def test_complaints_pause_as_well(store: Store) -> None:
    ended(store, 999)
    ended(store, complained=4, provider="")
    go_round(store)
    assert paused(store) == {
        1: "4 of 999 recipients within 7 days complained, more than 0.3 %; what waits is kept back; send only "
        "what people have asked for, then have it resumed"
    }
    assert len(paused(store)[1]) < MAX_REASON


@pytest.mark.parametrize("failure", ["block.ip", "net", "full", "policy.auth", "operator"])
def test_what_is_not_the_senders_doing_is_not_held_against_it(store: Store, failure: str) -> None:
    ended(store, 100, 100, failure=failure)
    ended(store, 0, 50, failure="", state="expired")
    assert (go_round(store), told(store)) == ([], [])


@pytest.mark.parametrize("failure", ["hard.domain", "content", "unclassified.permanent", ""])
def test_what_is_counts(store: Store, failure: str) -> None:
    ended(store, 100, 100, failure=failure)
    assert len(go_round(store)) == 1


def test_below_two_hundred_recipients_nothing_is_said(store: Store) -> None:
    ended(store, 99, 100)
    assert (go_round(store), told(store)) == ([], [])


@pytest.mark.parametrize(("complained", "said"), [(0, "paused"), (1, "paused"), (0, "warned")])
def test_who_had_too_few_recipients_is_judged_when_there_are_enough(store: Store, complained: int, said: str) -> None:
    bounced = 3 if said == "warned" else 20
    ended(store, 130, 0 if complained else bounced)
    ended(store, complained=complained)
    assert (go_round(store), told(store)) == ([], [])
    later = AT + 3 * 3_600
    assert go_round(store, later) == []
    ended(store, 40, at=later)
    assert (go_round(store, later + 60), told(store)) == ([], []), "still too few"
    ended(store, 60, at=later + 120)
    go_round(store, later + 150)
    assert [kind for _, kind, _ in told(store)] == [f"connection_{said}"]
    assert awaited(store) == []


def test_who_is_awaited_is_forgotten_when_the_bounces_are_few_or_long_past(store: Store) -> None:
    ended(store, 100, 1)  # 1 % of those at Google
    ended(store, 10, 1, connection=2)
    ended(store, 150, 3, connection=3)
    go_round(store)
    assert awaited(store) == [2, 3]
    ended(store, 90, connection=2, at=AT + 7_200)
    ended(store, 20, connection=3, at=AT + 8 * DAY)
    go_round(store, AT + 7_200)
    assert awaited(store) == [3]
    go_round(store, AT + 8 * DAY)
    assert awaited(store) == []
    assert told(store) == []


def test_of_those_that_are_awaited_who_was_not_looked_at_for_longest_comes_first(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for connection in (1, 2, 3):
        ended(store, 100, 10, connection=connection)
    go_round(store)
    monkeypatch.setattr(conduct, "MOST", 1)
    for minute, number in ((200, 1), (201, 2), (202, 3), (203, 1)):
        at = AT + minute * 60
        for connection in (1, 2, 3):
            ended(store, 1, connection=connection, at=at)
        with store.read() as session:
            made = look(session, WORKER, LIMITS, at)
        assert made is not None
        assert [one.connection_id for one in made.findings] == [number]
        with store.write() as session:
            act(session, [made])
    monkeypatch.undo()
    for after, number in ((DAY, 3), (DAY + 60, 0)):  # nothing has left since
        with store.read() as session:
            made = look(session, WORKER, LIMITS, AT + after)
        assert made is not None
        assert len(made.findings) == number
        with store.write() as session:
            act(session, [made])


def test_who_waits_for_nothing_any_more_is_forgotten(store: Store) -> None:
    ended(store, 100, 10)
    go_round(store)
    for after, left in ((conduct.KEPT - 1, [1]), (conduct.KEPT, [])):
        with store.write() as session:
            conduct.forget(session, AT + after)
        assert awaited(store) == left


def test_who_is_awaited_is_found_by_what_has_left_since(postgres_url: str) -> None:
    store = Store.open(postgres_url)
    with store.read() as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        query = text(f"EXPLAIN {conduct._AWAITED._clause}").bindparams(quarter=BUCKET, most=1)
        plan = "\n".join(session.scalars(query))
    store.close()
    assert "bucket > " in plan.partition("Index Cond: ")[2]


def test_only_the_last_days_count(store: Store) -> None:
    ended(store, 10, 190, at=AT - 8 * DAY)
    ended(store, 198, 2, at=AT - 6 * DAY)
    ended(store, 0, 1)
    assert go_round(store) == []
    assert len(go_round(store, limits=Guard(days=9))) == 1


def test_a_resumed_connection_is_not_paused_by_the_same_figures_again(store: Store) -> None:
    ended(store, 100, 100)
    go_round(store)
    with store.read() as session:
        waits = what_waits(session, session.get_one(Connection, 1), AT + 30)
    with store.write() as session:
        resume(session, session.get_one(Account, 1), "shop 0", waits, AT + 30, "operator")
    assert (go_round(store, AT + 60), paused(store)) == ([], {})
    ended(store, 100, 99, at=AT + 1_000)
    assert (go_round(store, AT + 1_000), paused(store)) == ([], {})
    ended(store, 0, 1, at=AT + 1_000)
    assert len(go_round(store, AT + 1_000)) == 1


def test_what_somebody_has_changed_since_the_look_stays(store: Store) -> None:
    ended(store, 100, 100)
    with store.read() as session:
        made = look(session, WORKER, LIMITS, AT)
    assert made is not None
    with store.write() as session:
        account = session.get_one(Account, 1)
        pause(session, account, "shop 0", "unpaid", AT)
        assert act(session, [made]) == [[]]
    assert paused(store) == {1: "unpaid"}
    with store.write() as session:
        resume(session, session.get_one(Account, 1), "shop 0", None, AT, "operator")
        assert act(session, [made]) == [[]]
    assert paused(store) == {}


def test_the_admins_are_warned_once_a_day_of_each_thing(store: Store) -> None:
    ended(store, 980, 20)
    ended(store, 980, 20, provider="Yahoo")
    ended(store, complained=3, provider="")
    for after in (0, 60, DAY - 1):
        ended(store, 0, 1, at=AT + after, failure="full")  # which has it looked at
        go_round(store, AT + after)
    warnings = [facts for _, kind, facts in told(store) if kind == "connection_warned"]
    assert [one["reason"] for one in warnings] == [
        "3 of 2,001 recipients within 7 days complained, more than 0.1 %",
        "20 of 1,001 recipients at Google within 7 days bounced, more than 1 %",
        "20 of 1,000 recipients at Yahoo within 7 days bounced, more than 1 %",
    ]
    assert warnings[1]["provider"] == "Google"
    assert paused(store) == {}
    ended(store, 0, 1, at=AT + DAY)
    go_round(store, AT + DAY)
    assert len([kind for _, kind, _ in told(store) if kind == "connection_warned"]) == 6


def test_one_worker_at_a_time_has_the_duty(store: Store) -> None:
    assert go_round(store) == []
    ended(store, 100, 100)
    with store.read() as session:
        assert look(session, WORKER + 1, LIMITS, AT) is None
        assert look(session, WORKER + 1, LIMITS, AT + HELD + 1) is not None
    with store.write() as session:
        assert act(session, [Round(WORKER + 1, AT, 7, ())]) == [[]]
    assert len(go_round(store, AT + HELD + 1, worker=WORKER + 1)) == 1


def test_several_workers_at_once_pause_and_tell_once(store: Store) -> None:
    ended(store, 100, 100)
    at_once(lambda n: go_round(store, worker=n), 6)
    assert [kind for _, kind, _ in told(store) if kind == "connection_paused"] == ["connection_paused"]


def test_bounces_that_were_reported_hours_after_the_delivery_count(store: Store) -> None:
    ended(store, 189, 11, at=AT - 5 * 3_600)
    with store.write() as session:
        session.execute(update(Recipient).values(final_at=AT))
    go_round(store)
    assert list(paused(store)) == [1]


def test_the_worst_are_looked_at_first(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conduct, "MOST", 1)
    ended(store, 900, 60)
    ended(store, 100, 100, connection=2)
    go_round(store)
    assert list(paused(store)) == [2]
    go_round(store)
    assert set(paused(store)) == {1, 2}


def test_connections_are_locked_in_the_order_in_which_acceptance_writes_to_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked: list[int] = []
    find = connections.connection_by_id

    def watched(session: Session, account: int, number: int, *, lock: bool = False) -> Connection | None:
        locked.append(number)
        return find(session, account, number, lock=lock)

    monkeypatch.setattr(connections, "connection_by_id", watched)
    ended(store, 150, 50)
    ended(store, 100, 100, connection=2)
    go_round(store)
    assert locked == [1, 2]
