"""The book is read page by page, of one account, of a month, and by what became of an invoice."""

from __future__ import annotations

import pytest

from postmeter.store.engine import Store
from postmeter_billing import book
from postmeter_billing.book import CORRECTION, TAKEN_BACK, VALID, Record, Selection
from postmeter_billing.cancel import cancel
from support.billing import DAY, SETTINGS, Office


def billed(store: Store) -> Office:
    """Two accounts with invoices of two months; the first of them is taken back and written anew."""
    office = Office(store)
    for name in ("acme", "shop"):
        office.open(name, 25_000)
    office.run()
    office.now += 31 * DAY
    for account_id in (1, 2):
        office.book(account_id, 50_000)
    office.run()
    cancel(office.core, SETTINGS, "2027-000001", anew=True)
    return office


def read(office: Office, which: Selection = Selection(), **page: object) -> list[Record]:  # noqa: B008 - frozen
    with office.store.read() as session:
        return book.records(session, which, **page)  # type: ignore[arg-type]


def numbers(records: list[Record]) -> list[int]:
    return [int(record.invoice.number.partition("-")[2]) for record in records]


@pytest.mark.parametrize(
    ("which", "found"),
    [
        (Selection(), [6, 5, 4, 3, 2, 1]),
        (Selection(1), [6, 5, 3, 1]),
        (Selection(2), [4, 2]),
        (Selection(3), []),
        (Selection(month="2027-01"), [2, 1]),
        (Selection(month="2027-02"), [6, 5, 4, 3]),
        (Selection(month="2027-03"), []),
        (Selection(state=VALID), [6, 4, 3, 2]),
        (Selection(state=TAKEN_BACK), [1]),
        (Selection(state=CORRECTION), [5]),
        (Selection(1, "2027-02", VALID), [6, 3]),
    ],
)
def test_what_is_asked_for_is_found_newest_first(store: Store, which: Selection, found: list[int]) -> None:
    assert numbers(read(billed(store), which)) == found


def test_a_page_goes_on_where_the_last_one_ended(store: Store) -> None:
    office = billed(store)
    first = read(office, limit=4)
    assert numbers(first) == [6, 5, 4, 3]
    assert numbers(read(office, before=first[-1].invoice.number)) == [2, 1]
    assert numbers(read(office, before="nothing")) == [6, 5, 4, 3, 2, 1]


def test_a_record_says_what_became_of_the_invoice(store: Store) -> None:
    office = billed(store)
    with office.store.read() as session:
        first, back = book.record(session, "2027-000001"), book.record(session, "2027-000005", 1)
        assert book.record(session, "2027-000001", 2) is None
        assert book.record(session, "2027-000099") is None
    assert first is not None
    assert back is not None
    assert (first.state, first.taken_back_by, first.account_id) == (TAKEN_BACK, "2027-000005", 1)
    assert (back.state, back.invoice.corrects) == (CORRECTION, "2027-000001")
