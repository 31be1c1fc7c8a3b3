"""Billing data is checked when it is entered, and changed field by field."""

from __future__ import annotations

from datetime import date

import pytest

from postmeter import UsageError
from postmeter.store.engine import Store
from postmeter_billing import customers
from support.billing import ADDRESS, BUYER, DAY, Office


def test_what_is_entered_is_kept_and_changed_field_by_field(store: Store) -> None:
    office = Office(store)
    account_id = office.open()
    office.now += 1000 * DAY
    office.enter(account_id, city="  Sonthofen\n", language="de")
    found = office.customer(account_id)
    assert found.buyer == type(BUYER)(**(ADDRESS | {"city": "Sonthofen"}))
    assert (found.language, found.reverse_charge, found.billed_for) == ("de", False, date(2027, 1, 14))


def test_nobody_has_an_address_before_it_is_entered(store: Store) -> None:
    office = Office(store)
    account_id = office.open(address=False)
    with pytest.raises(UsageError, match="no billing address"):
        office.customer(account_id)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": ""}, "missing: name"),
        ({"street": " ", "city": ""}, "missing: street, city"),
        ({"country": "Germany"}, "'Germany' is not two letters"),
        ({"country": "de"}, "'de' is not two letters"),
        ({"vat_id": "123"}, "vat id: '123' is not a VAT identification number"),
        ({"email": "joe"}, "'joe' is not an e-mail address"),
        ({"language": "fr"}, "'fr' is not en or de"),
        ({"name": "a\0b"}, "name: .* is not a line"),
        ({"name": "a\ufffe"}, "name: .* is not a line"),
        ({"name": "x" * 201}, "name: .* is not a line"),
        ({"vat_id": "", "reverse_charge": True}, "only a buyer with a VAT identification number"),
    ],
)
def test_what_cannot_be_right_is_refused(store: Store, changes: dict[str, str | bool], said: str) -> None:
    office = Office(store)
    account_id = office.open(address=False)
    with pytest.raises(UsageError, match=said):
        office.enter(account_id, **ADDRESS | changes)


def test_a_vat_id_is_kept_without_blanks_in_capitals(store: Store) -> None:
    office = Office(store)
    assert office.customer(office.open(vat_id="at u1234 5678")).buyer.vat_id == "ATU12345678"


def test_billing_can_only_begin_when_it_is_known_whom_invoices_are_for(store: Store) -> None:
    office = Office(store)
    account_id = office.open(address=False, overdraft=1000)
    with pytest.raises(UsageError, match="no billing address"):
        office.begin(account_id, date(2027, 1, 1))
    assert office.overdraft(account_id) == 1000


def test_somebody_is_due_until_a_run_has_dealt_with_all(store: Store) -> None:
    office = Office(store)
    first, second = office.open("a"), office.open("b")
    day = date(2027, 1, 15)
    with store.write() as session:
        assert customers.claim(session, first, day, day)
        assert not customers.claim(session, first, day, day)
        assert customers.anybody_due(session, day)
        assert customers.claim(session, second, day, day)
        assert not customers.anybody_due(session, day)
