"""VAT identification numbers have the form of their country."""

from __future__ import annotations

import pytest

from postmeter_billing.vat_id import well_formed


@pytest.mark.parametrize(
    "text",
    [
        *(
            "DE123456789",
            "ATU12345678",
            "BE0123456789",
            "NL123456789B01",
            "FRXX123456789",
            "ESX1234567X",
            "IE1234567WA",
        ),
        *("EL123456789", "XI123456789", "CHE123456789", "GB123456789", "PL1234567890", "LT123456789012"),
    ],
)
def test_a_number_of_its_countrys_form_is_taken(text: str) -> None:
    assert well_formed(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "DE", "DE12345678", "DE1234567890", "DE12345678X", "de123456789", "DE 123456789", "AT12345678"),
        *("123456789", "FR123456789", "LT1234567890", "DE12345678\u0669", "CH1", "DE123456789\n", "XX12345678901234"),
    ],
)
def test_another_is_not(text: str) -> None:
    assert not well_formed(text)
