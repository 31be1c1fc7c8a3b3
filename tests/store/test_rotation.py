"""New DKIM keys: they wait, take over when their record is there, and the old record has its time."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from postmeter.errors import UsageError
from postmeter.message.signature import ED25519
from postmeter.store import domain_checks, domains, rotation
from postmeter.store.connections import add_connection
from postmeter.store.domain_checks import AGAIN, EVERY, SOON, Look, record_check, record_looks
from postmeter.store.domains import NewKey
from postmeter.store.engine import Store
from postmeter.store.tables import Account, SendingDomain, SigningKey
from support.postage import at_once
from support.tenants import HELP, NOW, SECRETS, make_account, make_domain, new_key

SHOP, DAY = "shop.example", 86_400.0


@pytest.fixture
def account(store: Store) -> int:
    """An account whose domain a person has verified."""
    with store.write() as session:
        made = make_account(session)
        make_domain(session, made, SHOP, trust=False)
        record_check(session, made.id, SHOP, [], NOW)
        return made.id


def rotate(store: Store, account: int | None, at: float = NOW, key: NewKey | None = None, name: str = SHOP) -> str:
    """The selector of a new key."""
    new = key or new_key()
    with store.write() as session:
        rotation.rotate(session, SECRETS, account, name, new, at)
    return new.selector


def states(store: Store, account: int | None) -> list[str]:
    with store.read() as session:
        return [key.state for key in rotation.keys_of(session, account, SHOP if account else None)]


def published(store: Store, account: int, *wanted: str) -> domains.Verdict:
    """The verdict when the records of these keys (by state) are in the DNS."""
    with store.read() as session:
        keys = domains.domain_keys(session, SECRETS, account, SHOP)
    found = {key.dns_name: [key.dns_value()] for state in wanted for key in getattr(keys, state)}
    return domains.examine(keys, found)


def next_look(store: Store, account: int) -> float:
    with store.read() as session:
        at = session.get_one(SendingDomain, (account, SHOP)).next_check_at
    return -1.0 if at is None else at - NOW


def test_a_new_key_waits_and_signs_nothing(store: Store, account: int) -> None:
    selector = rotate(store, account)
    assert states(store, account) == ["active", "waiting"]
    with store.read() as session:
        signing = domains.keys_for(session, SECRETS, account, SHOP)
        [facts] = domains.domains_of(session, account)
    assert selector not in [key.selector for key in signing]
    assert len(signing) == 1
    assert [record.required for record in facts.records] == [True, False]  # the new one's is not among them


def test_the_domain_stays_verified_while_the_new_record_is_missing(store: Store, account: int) -> None:
    rotate(store, account)
    verdict = published(store, account, "active")
    assert (verdict.problems, verdict.ready) == ((), ())


def test_a_key_whose_record_is_there_takes_over_and_the_old_one_is_forgotten(store: Store, account: int) -> None:
    selector = rotate(store, account)
    verdict = published(store, account, "active", "waiting")
    assert (verdict.problems, verdict.ready) == ((), (selector,))
    with store.write() as session:
        assert record_check(session, account, SHOP, verdict.problems, NOW + 60, verdict.ready)
        [signing] = domains.keys_for(session, SECRETS, account, SHOP)
        new, old = rotation.keys_of(session, account, SHOP)
        assert session.scalar(select(SigningKey.private_key).where(SigningKey.selector == old.selector)) == b""
    assert signing.selector == new.selector == selector
    assert (new.state, new.activated_at, new.removable_at) == ("active", NOW + 60, None)
    assert (old.state, old.removable_at) == ("retired", NOW + 60 + 7 * DAY)


def test_a_record_that_was_replaced_instead_of_added_keeps_the_domain_verified(store: Store, account: int) -> None:
    selector = rotate(store, account)
    verdict = published(store, account, "waiting")
    assert (verdict.problems, verdict.ready) == ((), (selector,))
    with store.write() as session:
        assert record_looks(session, [Look(account, SHOP, verdict.problems, NOW + 60, verdict.ready)]) == [True]
    assert states(store, account) == ["active", "retired"]


def test_a_key_of_another_kind_is_added_and_replaces_nothing(store: Store, account: int) -> None:
    rotate(store, account, key=NewKey.generate(ED25519))
    verdict = published(store, account, "active", "waiting")
    with store.write() as session:
        record_check(session, account, SHOP, verdict.problems, NOW, verdict.ready)
    assert states(store, account) == ["active", "active"]


def test_one_key_of_a_kind_waits_at_a_time(store: Store, account: int) -> None:
    rotate(store, account)
    with pytest.raises(UsageError, match="waits for its record already"):
        rotate(store, account)
    rotate(store, account, key=NewKey.generate(ED25519))


def test_of_two_who_want_a_new_key_at_once_one_gets_it(store: Store, account: int) -> None:
    refused: list[int] = []

    def try_it(n: int) -> None:
        try:
            rotate(store, account)
        except UsageError:
            refused.append(n)

    at_once(try_it, 4)
    assert (len(refused), states(store, account)) == (3, ["active", "waiting"])


@pytest.mark.parametrize("trust", [False, True])
def test_a_key_that_is_added_to_a_domain_in_use_waits_for_its_record(store: Store, account: int, trust: bool) -> None:
    for _ in range(2):  # the second time there is one already
        key = NewKey.generate(ED25519)
        with store.write() as session:
            added = domains.add_domain(
                session, SECRETS, session.get_one(Account, account), SHOP, HELP, trust, [key], NOW + 1
            )
    assert states(store, account) == ["active", "waiting"]
    assert [record.required for record in added.records] == [True, True, False]  # all that is to be published
    assert next_look(store, account) == SOON + 1
    with store.read() as session:
        assert len(domains.keys_for(session, SECRETS, account, SHOP)) == 1


def test_a_domain_that_is_not_verified_gets_no_new_key(store: Store, account: int) -> None:
    with store.write() as session:
        record_check(session, account, SHOP, ["gone"], NOW)
    with pytest.raises(UsageError, match="not verified"):
        rotate(store, account)


def test_a_cancelled_key_is_gone_and_no_look_brings_it_back(store: Store, account: int) -> None:
    selector = rotate(store, account)
    verdict = published(store, account, "waiting")
    with store.write() as session:
        rotation.cancel(session, account, SHOP, selector)
        assert record_looks(session, [Look(account, SHOP, verdict.problems, NOW + 60, verdict.ready)]) == [True]
        assert session.get_one(SendingDomain, (account, SHOP)).checked_at == NOW  # that look knew too little
    assert states(store, account) == ["active"]
    with pytest.raises(UsageError, match="waits for its record"), store.write() as session:
        rotation.cancel(session, account, SHOP, selector)


def test_nobody_cancels_what_signs_or_is_somebody_elses(store: Store, account: int) -> None:
    selector = rotate(store, account)
    with store.write() as session:
        other = make_account(session, "other").id
        active = rotation.keys_of(session, account, SHOP)[0].selector
    for whose, which in ((other, selector), (None, selector), (account, active)):
        with pytest.raises(UsageError, match="waits"), store.write() as session:
            rotation.cancel(session, whose, SHOP, which)
    assert states(store, account) == ["active", "waiting"]


def test_the_same_look_recorded_by_two_changes_nothing_the_second_time(store: Store, account: int) -> None:
    rotate(store, account)
    verdict = published(store, account, "active", "waiting")
    with store.write() as session:
        for later in (1, 2):
            record_check(session, account, SHOP, verdict.problems, NOW + later, verdict.ready)
        assert rotation.keys_of(session, account, SHOP)[0].activated_at == NOW + 1
    assert states(store, account) == ["active", "retired"]


def test_a_waiting_key_is_looked_for_soon_and_then_less_and_less_often(store: Store, account: int) -> None:
    assert next_look(store, account) == EVERY
    rotate(store, account)
    assert next_look(store, account) == SOON
    for at, then in ((600.0, SOON), (20_000.0, 2_000.0), (20 * DAY, EVERY)):
        with store.write() as session:
            record_looks(session, [Look(account, SHOP, (), NOW + at)])
        assert next_look(store, account) == at + then
    with store.write() as session:
        record_looks(session, [Look(account, SHOP, ("gone",), NOW + 21 * DAY)])
    assert next_look(store, account) == 21 * DAY + AGAIN


def test_a_trusted_domain_is_looked_up_only_while_a_key_waits(store: Store) -> None:
    with store.write() as session:
        made = make_account(session)
        make_domain(session, made, SHOP)
        number = made.id
    rotate(store, number)
    assert next_look(store, number) == SOON
    with store.write() as session:
        assert record_looks(session, [Look(number, SHOP, ("nothing is there",), NOW + SOON)]) == [True]
    assert next_look(store, number) == 2 * SOON
    verdict = published(store, number, "waiting")
    with store.write() as session:
        record_looks(session, [Look(number, SHOP, verdict.problems, NOW + 2 * SOON, verdict.ready)])
    assert (states(store, number), next_look(store, number)) == (["active", "retired"], -1.0)


def test_the_operators_key_is_replaced_in_the_same_way(store: Store) -> None:
    with pytest.raises(UsageError, match="there is no key of the operator's"):
        rotate(store, None, name="relay.example")
    with store.write() as session:
        domains.add_operator_key(session, SECRETS, "relay.example", new_key(), NOW)
    rotate(store, None, name="relay.example")
    assert states(store, None) == ["active", "waiting"]
    with store.write() as session:
        [key] = rotation.operator_waiting(session, SECRETS)
        assert not rotation.take_over_if_published(session, key, ["v=DKIM1; p="], NOW)
        assert rotation.take_over_if_published(session, key, [key.dns_value()], NOW)
    assert states(store, None) == ["active", "retired"]


def test_what_was_retired_long_ago_is_forgotten_with_the_next_key(store: Store, account: int) -> None:
    rotate(store, account)
    verdict = published(store, account, "waiting")
    with store.write() as session:
        record_check(session, account, SHOP, verdict.problems, NOW, verdict.ready)
    rotate(store, account, NOW + 91 * DAY)
    assert states(store, account) == ["active", "waiting"]


def test_a_domain_that_no_connection_uses_can_go_and_its_keys_stay(store: Store, account: int) -> None:
    with store.write() as session:
        customer = session.get_one(Account, account)
        add_connection(session, SECRETS, customer, "Web shop", [SHOP], NOW)
        make_domain(session, customer, "two.example")
        assert domains.users_of(session, account) == {SHOP: ("Web shop",)}
        domains.remove_domain(session, account, "two.example")
        assert domains.domain_of(session, account, "two.example") is None
        assert len(domains.keys_for(session, SECRETS, account, "two.example")) == 1  # for mail under way
        with pytest.raises(UsageError, match="is used by: Web shop"):
            domains.remove_domain(session, account, SHOP)
        assert not domain_checks.any_due(session, NOW)


def test_a_domain_gets_another_list_help(store: Store, account: int) -> None:
    with store.write() as session:
        domains.set_list_help(session, account, SHOP, "help@shop.example")
        facts = domains.domain_of(session, account, SHOP)
        assert facts is not None
        assert facts.list_help == "<mailto:help@shop.example>"
        with pytest.raises(UsageError, match="List-Help"):
            domains.set_list_help(session, account, SHOP, "http://shop.example")
