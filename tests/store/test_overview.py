"""What the first pages show besides figures."""

from __future__ import annotations

from sqlalchemy import text

from postmeter.store import overview
from postmeter.store.connections import add_connection
from postmeter.store.engine import Store
from postmeter.store.overview import FEW, Lagging, Stopped, Stops
from postmeter.store.plugin_tables import Cursor, DeadLetter
from postmeter.store.tables import BOUNCED, DELIVERED, EXPIRED, Account, Connection
from support.postage import accept, add_worker, funded, lease, outcome, settle, settle_all, submission
from support.tenants import NOW, SECRETS, make_account


def given_up(store: Store, state: str, at: float, account: int = 1) -> str:
    """A message whose recipient ended so at that time; its id."""
    worker, message = add_worker(store), submission(account=account)
    accept(store, message)
    [found] = lease(store, worker)
    made = outcome(found, found.recipients[0], worker, state, at, reply=f"550 {at:.0f}")
    made.facts["stage"] = "rcpt"
    with store.write() as session:
        assert settle(session, [made]) == [True]
    return message.id


def test_the_last_bounces_come_first_with_their_answer_and_stage(store: Store) -> None:
    funded(store)
    first, last = given_up(store, BOUNCED, NOW + 5), given_up(store, EXPIRED, NOW + 9)
    given_up(store, DELIVERED, NOW + 7)
    with store.read() as session:
        found = overview.last_bounces(session, 1)
        assert [(one.message_id, one.state, one.at) for one in found] == [
            (last, EXPIRED, NOW + 9),
            (first, BOUNCED, NOW + 5),
        ]
        assert (found[1].forward_path, found[1].reply, found[1].stage) == (
            "r0@example.net",
            f"550 {NOW + 5:.0f}",
            "rcpt",
        )
        assert overview.last_bounces(session, 1, limit=1) == found[:1]


def test_nobody_sees_the_bounces_of_another_account(store: Store) -> None:
    funded(store)
    funded(store, account=2)
    given_up(store, BOUNCED, NOW, account=2)
    with store.read() as session:
        assert overview.last_bounces(session, 1) == []
        assert len(overview.last_bounces(session, 2)) == 1


def test_the_last_bounces_are_found_by_an_index(store: Store) -> None:
    funded(store)
    with store.read() as session:
        if session.get_bind().dialect.name != "sqlite":
            return
        query = overview._LAST.params(account=1, limit=10).compile(compile_kwargs={"literal_binds": True})
        plan = session.execute(text(f"EXPLAIN QUERY PLAN {query}")).all()
    assert "ix_recipient_failed" in str(plan)
    assert "TEMP B-TREE" not in str(plan)


def test_connections_have_names_also_when_they_were_given_up(store: Store) -> None:
    with store.write() as session:
        one, two = make_account(session, "one"), make_account(session, "two")
        shop = add_connection(session, SECRETS, one, "shop", [], NOW).connection_id
        add_connection(session, SECRETS, two, "blog", [], NOW)
        session.get_one(Connection, shop).retired_at = NOW
        session.flush()
        assert overview.connection_names(session, one.id) == {shop: "shop"}
        assert overview.account_names(session, [two.id, 99]) == {two.id: "two"}


def test_accounts_are_found_by_a_part_of_their_name_page_by_page(store: Store) -> None:
    with store.write() as session:
        for name in ("apple", "Banana", "grape", "pineapple", "100%"):
            make_account(session, name)
        found = overview.accounts_like(session, "APPLE", "", 1)
        assert [*found, *overview.accounts_like(session, "APPLE", found[-1], 5)] == ["apple", "pineapple"]
        assert overview.accounts_like(session, "%", "", 5) == ["100%"]
        assert sorted(overview.accounts_like(session, "", "", 9)) == sorted(
            ("apple", "Banana", "grape", "pineapple", "100%")
        )


def test_what_is_stopped_is_counted_and_the_first_are_named(store: Store) -> None:
    with store.write() as session:
        for n in range(FEW + 2):
            account = make_account(session, f"a{n}")
            session.get_one(Account, account.id).blocked = "owes"
            connection = add_connection(session, SECRETS, account, "shop", [], NOW).connection_id
            session.get_one(Connection, connection).paused = "" if n else "spam"
        session.flush()
        found = overview.attention(session)
    assert (found.blocked.count, len(found.blocked.first)) == (FEW + 2, FEW)
    assert found.blocked.first[0] == Stopped("a0", "", "owes")
    assert found.paused == Stops(1, (Stopped("a0", "shop", "spam"),))


def test_plugins_that_fail_or_have_given_up_are_named(store: Store) -> None:
    with store.write() as session:
        session.add_all(
            [
                Cursor(plugin="fine"),
                Cursor(plugin="fails", failures=3, error="no answer"),
                DeadLetter(plugin="gave-up", event_id=1, error="x", at=NOW),
            ]
        )
        session.flush()
        assert overview.attention(session).lagging == (
            Lagging("fails", 3, 0, "no answer"),
            Lagging("gave-up", 0, 1, ""),
        )


def test_the_oldest_mail_that_waits_is_the_first_with_content(store: Store) -> None:
    funded(store)
    with store.read() as session:
        assert overview.attention(session).oldest is None
    accept(store, submission(at=NOW - 60), submission(at=NOW))
    with store.read() as session:
        assert overview.attention(session).oldest == NOW - 60
    worker = add_worker(store)
    first, _ = lease(store, worker)
    settle_all(store, [first], worker, DELIVERED)
    with store.read() as session:
        assert overview.attention(session).oldest == NOW
