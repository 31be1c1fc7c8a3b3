"""What the database tells about the criteria of the Certified Senders Alliance."""

from __future__ import annotations

import pytest

from postmeter.errors import UsageError
from postmeter.message.identifier import new_id
from postmeter.store import csa, suppressions
from postmeter.store.counters import Change, count
from postmeter.store.domains import add_operator_key
from postmeter.store.engine import Store
from postmeter.store.tables import BOUNCED, Account, Connection, Recipient
from support.tenants import NOW, SECRETS, make_account, make_domain, new_key

DAY = 86_400.0


def facts(store: Store) -> csa.Facts:
    with store.read() as session:
        return csa.facts(session, NOW)


def test_a_new_relay_has_nothing_to_show(store: Store) -> None:
    found = facts(store)
    assert (found.since, found.accounts, found.repeated, found.suppressed) == (None, (), 0, {})
    assert not found.operator_key


def test_domains_keys_people_and_limits_are_counted(store: Store) -> None:
    with store.write() as session:
        account = make_account(session)
        make_domain(session, account)
        add_operator_key(session, SECRETS, "relay.example", new_key(), NOW)
        session.add(Connection(account_id=account.id, name="a", username="a", secret=b"", per_hour=5, created_at=NOW))
        session.get_one(Account, account.id).blocked = "spam"
    found = facts(store)
    assert (found.domains, found.without_help, found.operator_key) == (1, 0, True)
    assert (found.users, found.users_with_factor, found.blocked, found.capped) == (1, 0, 1, 1)


def test_rates_are_of_the_last_seven_days_and_by_account(store: Store) -> None:
    with store.write() as session:
        number = make_account(session).id
        count(session, [Change(number, 1, NOW - 100 * DAY, name, 9) for name in ("arrived", "bounced")])
        count(session, [Change(number, 1, NOW - DAY, name, by) for name, by in (("delivered", 7), ("bounced", 3))])
    found = facts(store)
    assert (found.totals.delivered, found.totals.bounced) == (7, 3)
    assert found.accounts == (csa.AccountRates("acme", 7, 3, 0),)
    assert found.since is not None
    assert found.since <= NOW - 100 * DAY


def bounced(store: Store, account: int, address: str, times: int, at: float) -> None:
    with store.write() as session:
        for n in range(times):
            identifier = new_id(int(at * 1000) + n, address.encode().ljust(10)[:10])
            session.add(
                Recipient(
                    message_id=identifier,
                    account_id=account,
                    n=0,
                    connection_id=1,
                    forward_path=address,
                    notify="",
                    orcpt="",
                    state=BOUNCED,
                    leaves_at=at,
                    next_attempt_at=at,
                    charge="charged",
                )
            )


def test_addresses_that_bounce_again_and_again_should_be_suppressed(store: Store) -> None:
    with store.write() as session:
        number = make_account(session).id
    bounced(store, number, "Often@x.example", 3, NOW - DAY)
    bounced(store, number, "twice@x.example", 2, NOW - DAY)
    bounced(store, number, "before@x.example", 3, NOW - 8 * DAY)
    assert facts(store).repeated == 1
    with store.write() as session:
        suppressions.suppress(session, number, "often@x.example", suppressions.BOUNCE, NOW)
    assert (facts(store).repeated, facts(store).suppressed) == (0, {"bounce": 1})


def test_an_answer_is_kept_and_replaced(store: Store) -> None:
    with store.write() as session:
        csa.answer(session, "abuse", True, "  Ann \n reads it ", "ann@relay.example", NOW)
        csa.answer(session, "abuse", False, "nobody", "bob@relay.example", NOW + 1)
        assert csa.answers(session) == {"abuse": csa.Answer("abuse", False, "nobody", NOW + 1, "bob@relay.example")}
        for note in ("x" * 501, "a\0b"):
            with pytest.raises(UsageError, match="printable"):
                csa.answer(session, "abuse", True, note, "ann@relay.example", NOW)
