"""What looks at the DNS mean: a person's at once, the relay's own after a while and a warning; and who is told."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from postmeter.message.signature import ED25519
from postmeter.store import domain_checks, domains
from postmeter.store.connections import access, add_connection
from postmeter.store.domain_checks import AGAIN, EVERY, MOST, Look, claim, record_check, record_looks
from postmeter.store.domains import NewKey
from postmeter.store.engine import Store
from postmeter.store.tables import Account, Event, SendingDomain
from support.postage import at_once
from support.tenants import HELP, NOW, SECRETS, make_account, make_domain, new_key

GONE = "s1._domainkey.shop.example: There is no TXT record."
HOUR, DAY = 3_600.0, 86_400.0


@pytest.fixture
def account(store: Store) -> int:
    """An account whose domain a person has verified."""
    with store.write() as session:
        made = make_account(session)
        make_domain(session, made, trust=False)
        assert record_check(session, made.id, "shop.example", [], NOW)
        return made.id


def look(store: Store, account: int, at: float, *problems: str, name: str = "shop.example") -> bool:
    """The relay itself looks; whether the domain is on afterwards."""
    with store.write() as session:
        return record_looks(session, [Look(account, name, problems, at)])[0]


def row(store: Store, account: int, name: str = "shop.example") -> Any:
    with store.read() as session:
        return session.get_one(SendingDomain, (account, name))


def told(store: Store) -> list[tuple[str, float, dict[str, Any]]]:
    """Kind, time and facts of all events about domains."""
    with store.read() as session:
        query = select(Event).where(Event.kind.like("domain_%")).order_by(Event.id)
        return [(event.kind, event.at - NOW, event.facts) for event in session.scalars(query)]


def broken(at: float, problem: str = GONE, **more: object) -> tuple[str, float, dict[str, Any]]:
    return ("domain_broken", at, {"domain": "shop.example", "problems": [problem], **more})


VERIFIED = ("domain_verified", 0.0, {"domain": "shop.example", "problems": []})


# A person's looks


def test_a_persons_look_verifies_and_takes_back_at_once_and_tells(store: Store, account: int) -> None:
    with store.write() as session:
        assert record_check(session, account, "shop.example", [], NOW + 1)
        assert session.get_one(SendingDomain, (account, "shop.example")).verified_at == NOW
        for later in (2, 3):
            assert not record_check(session, account, "shop.example", [GONE], NOW + later)
        [facts] = domains.domains_of(session, account)
    assert (facts.verified, facts.problem, facts.checked_at, facts.failing_since) == (False, GONE, NOW + 3, NOW + 2)
    assert told(store) == [VERIFIED, broken(2)]


def test_a_domain_that_was_never_verified_tells_nothing_and_is_not_looked_up_again(store: Store) -> None:
    with store.write() as session:
        made = make_account(session)
        make_domain(session, made, trust=False)
        assert not record_check(session, made.id, "shop.example", [GONE], NOW)
        number = made.id
    assert row(store, number).next_check_at is None
    assert told(store) == []


def test_a_trusted_domain_stays_verified_whoever_looks(store: Store) -> None:
    with store.write() as session:
        account = make_account(session)
        make_domain(session, account)
        assert record_check(session, account.id, "shop.example", [GONE], NOW)
        number = account.id
    assert look(store, number, NOW + DAY, GONE)
    assert (row(store, number).problem, row(store, number).next_check_at) == (GONE, None)
    assert told(store) == []


def test_trust_ends_the_looks_and_what_they_have_counted(store: Store, account: int) -> None:
    look(store, account, NOW + DAY, GONE)
    with store.write() as session:
        customer = session.get_one(Account, account)
        domains.add_domain(session, SECRETS, customer, "shop.example", HELP, True, [], NOW + DAY)
    found = row(store, account)
    assert (found.failures, found.failing_since, found.next_check_at, found.problem) == (0, None, None, "")


# The relay's own


def test_one_failed_look_after_a_good_one_changes_nothing_for_the_customer(store: Store, account: int) -> None:
    assert look(store, account, NOW + DAY, GONE)
    assert row(store, account).next_check_at == NOW + DAY + AGAIN
    assert look(store, account, NOW + DAY + AGAIN)
    found = row(store, account)
    assert (found.failures, found.failing_since, found.problem) == (0, None, "")
    assert found.next_check_at == NOW + DAY + AGAIN + EVERY
    assert told(store) == [VERIFIED]


def test_lasting_failure_leads_to_one_warning_after_a_day_and_to_the_end_a_day_later(
    store: Store, account: int
) -> None:
    states = {hour: look(store, account, NOW + hour * HOUR, GONE) for hour in range(1, 60)}
    assert {hour for hour, on in states.items() if not on} == set(range(49, 60))
    warning = broken(25 * HOUR, warning=True, off_at=NOW + 49 * HOUR)
    assert told(store) == [VERIFIED, warning, broken(49 * HOUR)]


def test_two_looks_are_not_enough_however_long_they_last(store: Store, account: int) -> None:
    for at in (DAY, 5 * DAY):
        assert look(store, account, NOW + at, GONE)
    assert told(store) == [VERIFIED]
    assert look(store, account, NOW + 5 * DAY + HOUR, GONE)
    assert [kind for kind, _, _ in told(store)] == ["domain_verified", "domain_broken"]


def test_after_a_warning_there_is_a_whole_day_also_when_nobody_looks(store: Store, account: int) -> None:
    for hour in (1, 2, 200):
        assert look(store, account, NOW + hour * HOUR, GONE)
    assert look(store, account, NOW + 223 * HOUR, GONE)
    assert not look(store, account, NOW + 224 * HOUR, GONE)


def test_a_record_that_comes_back_after_the_warning_starts_all_anew(store: Store, account: int) -> None:
    for hour in (0.5, 1, 25):
        look(store, account, NOW + hour * HOUR, GONE)
    assert row(store, account).warned_at == NOW + 25 * HOUR
    assert look(store, account, NOW + 26 * HOUR)
    for hour in (27, 28, 50):
        assert look(store, account, NOW + hour * HOUR, GONE)
    assert [kind for kind, _, _ in told(store)] == ["domain_verified", "domain_broken"]


def test_a_domain_that_is_off_is_looked_up_on_and_comes_back_by_itself(store: Store, account: int) -> None:
    with store.write() as session:
        customer = session.get_one(Account, account)
        added = add_connection(session, SECRETS, customer, "shop", ["shop.example"], NOW)
        record_check(session, account, "shop.example", [GONE], NOW + HOUR)
        off = access(session, added.username)
    assert off is not None
    assert off.reason.startswith("The DKIM record of shop.example")
    assert row(store, account).next_check_at == NOW + HOUR + AGAIN
    assert look(store, account, NOW + 2 * HOUR)
    with store.read() as session:
        on = access(session, added.username)
    assert on is not None
    assert on.reason == ""
    assert [(kind, at) for kind, at, _ in told(store)] == [
        ("domain_verified", 0.0),
        ("domain_broken", HOUR),
        ("domain_verified", 2 * HOUR),
    ]


def test_the_same_look_recorded_twice_counts_once(store: Store, account: int) -> None:
    for _ in range(3):
        look(store, account, NOW + DAY, GONE)
    assert row(store, account).failures == 1
    look(store, account, NOW + DAY - 1)  # older than what is known
    assert row(store, account).failures == 1


def test_a_domain_that_is_gone_meanwhile_is_nothing_to_record(store: Store, account: int) -> None:
    assert not look(store, account, NOW, name="gone.example")


# Whose turn it is


def claimed(store: Store, now: float) -> list[tuple[int, str]]:
    with store.write() as session:
        return claim(session, [now])[0]


def test_a_verified_domain_is_due_once_a_day_and_given_to_one_only(store: Store, account: int) -> None:
    for now, due in ((NOW, False), (NOW + EVERY - 1, False), (NOW + EVERY, True)):
        with store.read() as session:
            assert domain_checks.any_due(session, now) == due
    assert claimed(store, NOW + EVERY - 1) == []
    assert claimed(store, NOW + EVERY) == [(account, "shop.example")]
    assert claimed(store, NOW + EVERY) == []
    assert claimed(store, NOW + EVERY + AGAIN) == [(account, "shop.example")]  # nobody has recorded anything


def test_a_handful_is_taken_at_a_time_longest_due_first(store: Store) -> None:
    names = [f"d{n:02d}.example" for n in range(MOST + 3)]
    with store.write() as session:
        account = make_account(session)
        for n, name in enumerate(names):
            make_domain(session, account, name, trust=False)
            record_check(session, account.id, name, [], NOW - n)
    now = NOW + EVERY
    assert [name for _, name in claimed(store, now)] == names[::-1][:MOST]
    assert [name for _, name in claimed(store, now)] == names[::-1][MOST:]


def test_workers_that_ask_at_once_get_each_domain_once(store: Store) -> None:
    names = [f"d{n}.example" for n in range(20)]
    with store.write() as session:
        account = make_account(session)
        for name in names:
            make_domain(session, account, name, trust=False)
            record_check(session, account.id, name, [], NOW)
    got: list[tuple[int, str]] = []
    at_once(lambda n: got.extend(claimed(store, NOW + EVERY)), 6)
    assert len(got) == len(set(got))
    rest = claimed(store, NOW + EVERY)
    while rest:
        got += rest
        rest = claimed(store, NOW + EVERY)
    assert sorted(name for _, name in got) == sorted(names)


def test_a_second_key_that_is_not_published_keeps_a_domain_from_being_whole(store: Store, account: int) -> None:
    with store.write() as session:
        customer = session.get_one(Account, account)
        both = [new_key(), NewKey.generate(ED25519)]
        domains.add_domain(session, SECRETS, customer, "new.example", HELP, False, both, NOW)
        keys = domains.account_keys(session, SECRETS, account, "new.example")
    problems = domains.judge(keys, {keys[0].dns_name: [keys[0].dns_value()]})
    assert problems == [f"{keys[1].dns_name}: There is no TXT record."]
