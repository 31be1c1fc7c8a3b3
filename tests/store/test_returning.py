"""Where bounces come back to: whose domain, from when on, and for how long after its records are gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from postmeter.config import Delivery, Server, Settings, Smtp
from postmeter.errors import UsageError
from postmeter.message.identifier import new_id
from postmeter.message.return_path import Returned
from postmeter.store import returning
from postmeter.store.domain_checks import AGAIN, EVERY, SOON, record_check
from postmeter.store.domains import domain_of
from postmeter.store.engine import Store
from postmeter.store.returning import DAY, PATIENCE, Sight
from postmeter.store.tables import SendingDomain
from support.tenants import NOW, SECRETS, make_account, make_domain

SHOP, BOUNCE, RELAY = "shop.example", "bounce.shop.example", "bounce.relay.example"
HOSTNAME = "mx.relay.example"


@pytest.fixture(params=[True, False], ids=["trusted", "verified"])
def account(store: Store, request: pytest.FixtureRequest) -> int:
    """An account with a verified domain."""
    with store.write() as session:
        made = make_account(session)
        make_domain(session, made, SHOP, trust=request.param)
        record_check(session, made.id, SHOP, [], NOW)
        return made.id


def put(store: Store, account: int, text: str, now: float = NOW) -> str:
    with store.write() as session:
        return returning.set_return_path(session, account, SHOP, text, now)


def seen(store: Store, account: int, problem: str, at: float, name: str = BOUNCE) -> bool:
    with store.write() as session:
        return returning.record_sights(session, [Sight(account, SHOP, name, problem, at)])[0]


def used(store: Store, account: int) -> str:
    """The domain of a return path of its mail."""
    with store.read() as session:
        found = returning.ReturnDomains(returning.return_paths(Settings(), SECRETS), RELAY).of(session, account, SHOP)
    return found.name if found else ""


def next_look(store: Store, account: int) -> float | None:
    with store.read() as session:
        return session.get_one(SendingDomain, (account, SHOP)).next_check_at


def test_bounces_go_to_the_relay_until_the_customers_name_leads_here(store: Store, account: int) -> None:
    assert put(store, account, " Bounce.Shop.EXAMPLE. ") == BOUNCE
    assert used(store, account) == RELAY
    assert next_look(store, account) == NOW + SOON
    assert not seen(store, account, "There is no MX record.", NOW + 1)
    assert seen(store, account, "", NOW + 2)
    assert used(store, account) == BOUNCE
    with store.read() as session:
        facts = domain_of(session, account, SHOP)
        assert facts is not None
        assert (facts.return_path, facts.returns) == (BOUNCE, True)
        assert returning.is_in_use(session, BOUNCE)
        assert not returning.is_in_use(session, RELAY)
        assert not returning.is_in_use(session, "")


def test_a_lost_record_is_forgiven_for_a_day(store: Store, account: int) -> None:
    put(store, account, BOUNCE)
    seen(store, account, "", NOW)
    assert seen(store, account, "gone", NOW + 10)
    assert seen(store, account, "gone", NOW + 10 + PATIENCE - 1)
    assert not seen(store, account, "gone", NOW + 10 + PATIENCE)
    assert used(store, account) == RELAY
    assert seen(store, account, "", NOW + 20 + PATIENCE)


def test_a_record_that_is_back_is_given_its_day_anew(store: Store, account: int) -> None:
    put(store, account, BOUNCE)
    for at, problem in ((0, ""), (1, "gone"), (2, ""), (PATIENCE + 1, "gone")):
        assert seen(store, account, problem, NOW + at)


def test_while_it_is_missing_the_relay_looks_every_hour_and_then_every_day(store: Store, account: int) -> None:
    put(store, account, BOUNCE)
    with store.write() as session:
        record_check(session, account, SHOP, [], NOW)
    assert next_look(store, account) == NOW + AGAIN
    seen(store, account, "", NOW)
    with store.write() as session:
        record_check(session, account, SHOP, [], NOW)
    assert next_look(store, account) == NOW + EVERY


def test_another_name_begins_anew_and_none_is_none(store: Store, account: int) -> None:
    put(store, account, BOUNCE)
    seen(store, account, "", NOW)
    put(store, account, BOUNCE)
    assert used(store, account) == BOUNCE
    put(store, account, f"b.{SHOP}")
    assert used(store, account) == RELAY
    assert not seen(store, account, "", NOW, name=BOUNCE)
    assert put(store, account, "") == ""
    assert used(store, account) == RELAY


@pytest.mark.parametrize("name", [SHOP, "bounce.other.example", "xshop.example", "a b.shop.example", "-"])
def test_it_has_to_be_a_name_below_the_sending_domain(store: Store, account: int, name: str) -> None:
    with pytest.raises(UsageError):
        put(store, account, name)


def test_a_domain_that_nobody_has_can_have_no_return_path(store: Store, account: int) -> None:
    with pytest.raises(UsageError, match="no domain other"), store.write() as session:
        returning.set_return_path(session, account, "other.example", "b.other.example", NOW)


def test_without_a_port_for_reports_bounces_are_the_senders_own(tmp_path: Path) -> None:
    settings = Settings(server=Server(data=str(tmp_path)), smtp=Smtp(return_path=RELAY))
    assert returning.domains(settings, SECRETS) is None


def test_without_any_domain_there_is_no_return_path(store: Store, account: int) -> None:
    found = returning.domains(Settings(smtp=Smtp(reports=("127.0.0.1:25",))), SECRETS)
    assert found is not None
    with store.read() as session:
        assert found.of(session, account, SHOP) is None


@pytest.mark.parametrize(("days", "longest"), [(1, 5), (9, 9)])
def test_reports_are_taken_for_a_month_after_the_longest_lifetime(days: int, longest: int) -> None:
    paths = returning.return_paths(Settings(delivery=Delivery(lifetime_days=days)), SECRETS)
    returned = Returned(new_id(int(NOW * 1000), bytes(10)), None)
    end = NOW + (longest + 30) * DAY
    assert paths.read(paths.write(returned, RELAY), end - 1) == returned
    assert paths.read(paths.write(returned, RELAY), end + 1) is None


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        ([f"10 {HOSTNAME}."], ""),
        (["5 other.example.", f"10 {HOSTNAME.upper()}."], ""),
        ([f"10 mx2.{RELAY}."], ""),
        ([], f"{BOUNCE}: There is no MX record."),
        (["10 mx.other.example."], f"{BOUNCE}: The MX record leads to mx.other.example, not to this relay."),
        (["0 ."], f"{BOUNCE}: The MX record leads to nobody, not to this relay."),
    ],
)
def test_what_its_records_lack_is_said(found: list[str], fault: str) -> None:
    ours = returning.exchanges(HOSTNAME, [f"20 mx2.{RELAY}."])
    assert returning.fault_in(BOUNCE, found, ours) == fault


def test_the_records_lead_to_the_relays_own_domain_if_it_has_one() -> None:
    [alias] = returning.records(BOUNCE, HOSTNAME, RELAY)
    assert (alias.type, alias.value, alias.required) == ("CNAME", f"{RELAY}.", True)
    exchange, policy = returning.records(BOUNCE, HOSTNAME, "")
    assert (exchange.type, exchange.value) == ("MX", f"10 {HOSTNAME}.")
    assert (policy.type, policy.value, policy.required) == ("TXT", f"v=spf1 a:{HOSTNAME} -all", False)
