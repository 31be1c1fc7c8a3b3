"""An invoice is taken back by another one, and written anew if wanted; nothing is deleted, and nothing billed again."""

from __future__ import annotations

import pytest
from attrs import evolve

from postmeter import UsageError
from postmeter.store.engine import Store
from postmeter_billing.cancel import cancel
from support.billing import DAY, SETTINGS, Office


def billed(store: Store) -> Office:
    """An office that has written one invoice, over a block and some mails more."""
    office = Office(store)
    office.open("acme", 25_000, overdraft=1000)
    office.run()
    return office


def test_an_invoice_is_taken_back_by_one_with_its_own_number(store: Store) -> None:
    office = billed(store)
    (back,) = cancel(office.core, SETTINGS, "2027-000001", anew=False)
    assert (back.number, back.corrects, back.gross) == ("2027-000002", "2027-000001", -2939)
    assert sum(entry.gross for entry in office.entries()) == 0
    assert office.invoice("2027-000002") == back
    assert office.invoice("2027-000001").corrects == ""


def test_what_was_taken_back_is_not_billed_again(store: Store) -> None:
    office = billed(store)
    cancel(office.core, SETTINGS, "2027-000001", anew=False)
    office.now += 31 * DAY
    office.run()
    assert len(office.entries()) == 2


def test_an_invoice_is_written_anew_to_the_address_as_it_is_now(store: Store) -> None:
    office = billed(store)
    office.enter(1, name="Lindenhof GmbH")
    back, again = cancel(office.core, evolve(SETTINGS, vat="7"), "2027-000001", anew=True)
    assert (back.buyer.name, again.buyer.name) == ("Gasthof Lindenhof OHG", "Lindenhof GmbH")
    assert (again.number, again.corrects, again.net, again.vat) == ("2027-000003", "", 2470, 173)
    office.now += 31 * DAY
    office.run()
    assert len(office.entries()) == 3
    cancel(office.core, SETTINGS, "2027-000003", anew=False)
    assert sum(entry.gross for entry in office.entries()) == 0


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("2027-000009", "there is no invoice '2027-000009'"),
        ("2027-000001", "2027-000001 was taken back already, by 2027-000002"),
        ("2027-000002", "takes the invoice 2027-000001 back; it cannot be taken back itself"),
    ],
)
def test_what_cannot_be_taken_back_leaves_no_gap(store: Store, number: str, said: str) -> None:
    office = billed(store)
    cancel(office.core, SETTINGS, "2027-000001", anew=False)
    with pytest.raises(UsageError, match=said):
        cancel(office.core, SETTINGS, number, anew=True)
    assert len(office.entries()) == 2
