"""What the next invoice will have is what the run then writes, and looking at it changes nothing."""

from __future__ import annotations

from datetime import date

import pytest
from attrs import evolve

from postmeter import Tariff
from postmeter.store.engine import Store
from postmeter_billing.invoice import Line
from postmeter_billing.plugin import Billing
from postmeter_billing.run import Run
from support.billing import DAY, SETTINGS, TODAY, Office


def preview(office: Office, account_id: int) -> tuple[Line, ...]:
    with office.store.read() as session:
        return Run.of(office.core, office.settings).preview(session, office.core.account(session, account_id))


def tariff(office: Office, account_id: int) -> Tariff | None:
    plugin = Billing()
    plugin.on_start(office.core)
    return plugin.tariff(account_id)


def test_it_is_what_the_run_writes(store: Store) -> None:
    office = Office(store)
    account_id = office.open("acme", 25_000, 100_000, overdraft=1234, language="de")
    expected = preview(office, account_id)
    assert preview(office, account_id) == expected
    assert office.overdraft(account_id) == 1234
    office.run()
    assert office.invoice("2027-000001").lines == expected
    assert preview(office, account_id) == ()


def test_it_is_there_before_anybody_knows_whom_the_invoice_is_for(store: Store) -> None:
    office = Office(store)
    account_id = office.open("acme", 25_000, overdraft=10, address=False)
    assert [(line.text, line.amount) for line in preview(office, account_id)] == [
        ("Block of 25,000 mails", 2375),
        ("Mails beyond all blocks", 1),
    ]


def test_nothing_from_before_the_billing_began_is_in_it(store: Store) -> None:
    office = Office(store)
    account_id = office.open("acme", 25_000, overdraft=10)
    office.now += 2 * DAY
    office.begin(account_id, date(2027, 1, 16))
    assert preview(office, account_id) == ()


@pytest.mark.parametrize(
    ("day", "following"),
    [
        (date(2027, 1, 14), date(2027, 1, 15)),
        (date(2027, 1, 15), date(2027, 2, 15)),
        (date(2027, 12, 31), date(2028, 1, 15)),
        (date(2028, 1, 31), date(2028, 2, 15)),
    ],
)
def test_the_next_billing_date_is_behind_the_day(day: date, following: date) -> None:
    assert SETTINGS.next_billing_date(day) == following


@pytest.mark.parametrize("billing_day", [1, 28])
def test_billing_dates_are_a_month_apart(billing_day: int) -> None:
    settings, day = evolve(SETTINGS, billing_day=billing_day), date(2027, 1, 28)
    following = [day]
    while len(following) < 14:
        following.append(settings.next_billing_date(following[-1]))
    assert [one.month for one in following[1:]] == [*range(2, 13), 1, 2]
    assert {one.day for one in following[1:]} == {billing_day}


def test_what_is_booked_on_a_billing_day_before_its_run_is_on_the_invoice_of_that_day(store: Store) -> None:
    office = Office(store)
    account_id = office.open()
    before = tariff(office, account_id)
    office.run()
    after = tariff(office, account_id)
    assert before is not None
    assert after is not None
    assert (before.billed, after.billed) == (TODAY, date(2027, 2, 15))


def test_the_tariff_is_that_of_the_account(store: Store) -> None:
    office = Office(store)
    plain, reverse = office.open("a"), office.open("b", reverse_charge=True)
    nobody = office.open("c", address=False)
    found = [tariff(office, account_id) for account_id in (plain, reverse, nobody)]
    assert [(one.vat, one.addressed, one.currency) for one in found if one] == [
        (1900, True, "EUR"),
        (0, True, "EUR"),
        (1900, False, "EUR"),
    ]
    assert found[0] is not None
    assert found[0].prices.of_block(100_000) == 90


def test_without_a_seller_there_is_neither_a_tariff_nor_a_page(store: Store) -> None:
    office = Office(store, settings=type(SETTINGS)())
    plugin = Billing()
    plugin.on_start(office.core)
    assert plugin.tariff(office.open(address=False)) is None
    assert plugin.pages() == []
