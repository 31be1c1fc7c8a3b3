"""The billing run bills every block once and the overdraft, with consecutive numbers, and what comes late next time."""

from __future__ import annotations

from datetime import date

import pytest
from attrs import evolve

from postmeter import UsageError
from postmeter.store.engine import Store
from postmeter_billing.cancel import cancel
from postmeter_billing.invoice import BLOCK, OVERDRAFT
from postmeter_billing.run import BILLED, NO_ADDRESS, NOTHING, Outcome
from support.billing import BUYER, DAY, SETTINGS, TODAY, Office
from support.tenants import NOW


def test_a_block_is_billed_with_its_period(store: Store) -> None:
    office = Office(store)
    office.open("acme", 25_000)
    assert office.run() == [Outcome("acme", "2027-000001", 2826)]
    made = office.invoice("2027-000001")
    assert (made.account, made.buyer, made.seller.name, made.day) == ("acme", BUYER, "Elbe Hosting GmbH", TODAY)
    (line,) = made.lines
    assert (line.kind, line.text, line.quantity, line.price) == (BLOCK, "Block of 25,000 mails", 25_000, 95)
    assert (line.begin, line.end, line.amount) == (TODAY, date(2027, 2, 14), 2375)


def test_overdraft_is_billed_at_the_highest_price_and_then_is_invoiced(store: Store) -> None:
    """D47: 25,000 mails beyond all blocks cost 23.75 EUR."""
    office = Office(store)
    account_id = office.open("acme", overdraft=25_000)
    office.run()
    made = office.invoice("2027-000001")
    assert [(line.kind, line.quantity, line.price, line.amount) for line in made.lines] == [
        (OVERDRAFT, 25_000, 95, 2375)
    ]
    assert office.overdraft(account_id) == 0


def test_a_new_block_does_not_change_an_overdraft_on_the_invoice(store: Store) -> None:
    office = Office(store)
    account_id = office.open("acme", 100_000, overdraft=1234)
    office.book(account_id, 25_000)
    office.run()
    made = office.invoice("2027-000001")
    assert [(line.quantity, line.price, line.amount) for line in made.lines] == [
        (100_000, 90, 9000),
        (25_000, 95, 2375),
        (1234, 95, 117),
    ]
    assert (made.net, made.vat, made.gross) == (11_492, 2183, 13_675)


def test_the_demo_quota_is_not_billed(store: Store) -> None:
    office = Office(store)
    office.open()
    assert office.run() == [Outcome("acme", why=NOTHING)]
    assert office.entries() == []


def test_a_second_run_of_a_day_bills_nothing(store: Store) -> None:
    office = Office(store)
    account_id = office.open("acme", 25_000)
    office.run()
    office.book(account_id, 50_000)
    office.overdraw(account_id, 10)
    assert office.run() == [Outcome("acme", why=BILLED)]
    assert len(office.entries()) == 1


def test_what_is_booked_later_is_on_the_next_invoice(store: Store) -> None:
    office = Office(store)
    account_id = office.open("acme", 25_000)
    office.run()
    late = office.book(account_id, 50_000)
    office.now += DAY
    assert [one.number for one in office.run()] == ["2027-000002"]
    assert [line.block for line in office.invoice("2027-000002").lines] == [late]


def test_what_is_booked_while_a_run_is_under_way_is_for_the_next_one(store: Store) -> None:
    office = Office(store)
    account_id = office.open("acme", 25_000)
    office.now += 60
    office.book(account_id, 50_000)
    office.now -= 30
    office.run()
    assert [line.quantity for line in office.invoice("2027-000001").lines] == [25_000]


def test_a_run_for_a_day_that_is_over_bills_what_was_booked_until_then(store: Store) -> None:
    office = Office(store)
    office.now = NOW - 10 * DAY
    account_id = office.open("acme", 25_000)
    office.now = NOW - 2 * DAY
    office.book(account_id, 50_000)
    office.now = NOW
    assert [one.gross for one in office.run(date(2027, 1, 10))] == [2826]
    made = office.invoice("2027-000001")
    assert (made.day, len(made.lines)) == (date(2027, 1, 10), 1)


def test_mails_beyond_all_blocks_wait_when_the_day_of_a_run_is_over(store: Store) -> None:
    office = Office(store)
    account_id = office.open("acme", 25_000, overdraft=1000)
    office.now += 20 * DAY
    office.overdraw(account_id, 99_000)
    office.run(date(2027, 1, 16))
    assert [line.kind for line in office.invoice("2027-000001").lines] == [BLOCK]
    assert office.overdraft(account_id) == 100_000
    office.run()
    (line,) = office.invoice("2027-000002").lines
    assert (line.kind, line.quantity, line.end) == (OVERDRAFT, 100_000, date(2027, 2, 4))


def test_numbers_go_with_the_days(store: Store) -> None:
    office = Office(store)
    nothing = office.open("a")
    office.open("acme", 25_000)
    office.open("zeta", 25_000)
    office.now += 20 * DAY
    office.run(account="zeta")
    with pytest.raises(UsageError, match="an invoice of 2027-02-03 cannot be written: there is one of a later day"):
        office.run(date(2027, 2, 3))
    assert office.customer(nothing).billed_for == date(2027, 1, 14)
    assert [one.number for one in office.run(date(2027, 2, 4))] == ["", "2027-000002", ""]
    assert [entry.day for entry in office.entries()] == ["2027-02-04"] * 2


def test_a_day_of_the_last_year_goes_with_the_numbers_of_that_year(store: Store) -> None:
    office = Office(store, now=NOW - 20 * DAY)
    office.open("acme", 25_000)
    office.now = NOW
    office.open("zeta", 25_000)
    office.run(account="zeta")
    office.run(date(2026, 12, 31))
    assert [(entry.number, entry.day) for entry in office.entries()] == [
        ("2026-000001", "2026-12-31"),
        ("2027-000001", "2027-01-15"),
    ]


def test_a_day_to_come_is_not_billed(store: Store) -> None:
    with pytest.raises(UsageError, match="2027-01-16 is still to come"):
        Office(store).run(date(2027, 1, 16))


def test_what_an_account_without_an_address_owes_waits_until_it_has_one(store: Store) -> None:
    office = Office(store)
    office.open("blocks", 25_000, address=False)
    beyond = office.open("overdraft", overdraft=100_000, address=False)
    office.open("quiet", address=False)
    assert office.run() == [
        Outcome("blocks", why=NO_ADDRESS),
        Outcome("overdraft", why=NO_ADDRESS),
        Outcome("quiet", why=NOTHING),
    ]
    assert (office.blocks_billed(), office.overdraft(beyond)) == ([], 100_000)


def test_less_than_half_a_cent_waits_for_the_next_invoice(store: Store) -> None:
    office = Office(store)
    account_id = office.open("acme", overdraft=5)
    assert office.run() == [Outcome("acme", why=NOTHING)]
    assert office.overdraft(account_id) == 5
    office.overdraw(account_id, 1)
    office.now += DAY
    office.run()
    assert [(line.quantity, line.amount) for line in office.invoice("2027-000001").lines] == [(6, 1)]


def test_the_overdraft_of_a_second_invoice_begins_where_the_first_ended(store: Store) -> None:
    office = Office(store)
    account_id = office.open("acme", overdraft=1000)
    office.run()
    office.overdraw(account_id, 1000)
    office.now += 31 * DAY
    office.run()
    (line,) = office.invoice("2027-000002").lines
    assert (line.begin, line.end) == (TODAY, date(2027, 2, 15))


def test_the_overdraft_begins_with_the_account_and_then_where_a_run_has_found_none(store: Store) -> None:
    office = Office(store)
    account_id = office.open("acme")
    office.now += 31 * DAY
    office.overdraw(account_id, 1000)
    office.run()
    office.now += 31 * DAY
    assert office.run() == [Outcome("acme", why=NOTHING)]
    office.now += 31 * DAY
    office.overdraw(account_id, 1000)
    office.run()
    lines = [line for entry in office.entries() for line in office.invoice(entry.number).lines]
    assert [(line.begin, line.end) for line in lines] == [
        (TODAY, date(2027, 2, 15)),
        (date(2027, 3, 18), date(2027, 4, 18)),
    ]


@pytest.mark.parametrize("anew", [False, True])
def test_the_overdraft_begins_where_a_run_ended_and_not_at_a_correction(store: Store, anew: bool) -> None:
    office = Office(store)
    account_id = office.open("acme", 25_000)
    office.run()
    office.overdraw(account_id, 5000)
    office.now += 10 * DAY
    cancel(office.core, office.settings, "2027-000001", anew=anew)
    office.now += 20 * DAY
    (outcome,) = office.run()
    (line,) = office.invoice(outcome.number).lines
    assert (line.begin, line.end) == (TODAY, date(2027, 2, 14))


def test_what_waited_begins_when_it_was_sent(store: Store) -> None:
    """Neither a run that bills less than half a cent of it nor one for a day that is over moves the begin."""
    office = Office(store)
    account_id = office.open("acme", 25_000)
    office.run()
    office.overdraw(account_id, 5)
    office.now += 10 * DAY
    office.run()
    late = office.book(account_id, 25_000)
    office.now += 10 * DAY
    office.run(date(2027, 1, 31))
    assert [line.block for line in office.invoice("2027-000002").lines] == [late]
    office.overdraw(account_id, 1000)
    office.run()
    (line,) = office.invoice("2027-000003").lines
    assert (line.quantity, line.begin, line.end) == (1005, TODAY, date(2027, 2, 4))


def test_nothing_is_billed_from_before_the_day_on_which_billing_begins(store: Store) -> None:
    office = Office(store)
    account_id = office.open("acme", 25_000, overdraft=100_000)
    midnight = office.settings.start(date(2028, 2, 1))
    office.now = midnight - 1
    office.book(account_id, 25_000)
    office.now = midnight
    first = office.book(account_id, 25_000)
    office.now += 9 * DAY
    office.begin(account_id, date(2028, 2, 1))
    assert office.overdraft(account_id) == 0
    office.now += 5 * DAY
    office.overdraw(account_id, 1000)
    office.run()
    block, overdraft = office.invoice("2028-000001").lines
    assert (block.block, overdraft.quantity, overdraft.begin) == (first, 1000, date(2028, 2, 10))


def test_one_account_can_be_billed_alone(store: Store) -> None:
    office = Office(store)
    office.open("a", 25_000)
    office.open("b", 25_000)
    assert [one.account for one in office.run(account="b")] == ["b"]
    with pytest.raises(UsageError, match="no account"):
        office.run(account="c")


def test_numbers_begin_again_with_the_year(store: Store) -> None:
    office = Office(store, evolve(SETTINGS, number_prefix="PM-"))
    office.open("a", 25_000)
    office.run()
    office.now += 365 * DAY
    office.open("b", 25_000)
    office.run()
    assert [entry.number for entry in office.entries()] == ["PM-2027-000001", "PM-2028-000001"]


def test_the_day_is_that_of_the_operators_time_zone(store: Store) -> None:
    office = Office(store, evolve(SETTINGS, timezone="Pacific/Auckland"), now=NOW + 6 * 3600)
    office.open("acme", 25_000)
    office.run()
    assert office.invoice("2027-000001").day == date(2027, 1, 16)


def test_an_invoice_is_in_the_customers_language(store: Store) -> None:
    office = Office(store)
    office.open("acme", 25_000, language="de")
    office.run()
    made = office.invoice("2027-000001")
    assert (made.language, made.lines[0].text) == ("de", "Kontingent über 25.000 E-Mails")


def test_an_invoice_does_not_change_with_address_prices_or_settings(store: Store) -> None:
    office = Office(store)
    office.open("acme", 25_000)
    office.run()
    before = office.invoice("2027-000001")
    office.settings = evolve(SETTINGS, prices={"1": "9.9"}, vat="7", seller_name="Somebody else")
    office.open("other")
    assert office.invoice("2027-000001") == before


def test_nothing_is_billed_before_the_settings_say_who_sells(store: Store) -> None:
    office = Office(store, evolve(SETTINGS, seller_name=""))
    office.open("acme", 25_000)
    with pytest.raises(UsageError, match="seller_name"):
        office.run()
