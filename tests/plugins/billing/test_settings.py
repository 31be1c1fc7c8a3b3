"""What an operator sets is checked at the start; days begin where the operator is."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from attrs import evolve

from postmeter import ConfigError, UsageError
from postmeter.setting import section
from postmeter_billing.settings import BillingSettings
from support.billing import SELLER, SETTINGS
from support.tenants import NOW


def test_the_defaults_can_be_used_and_nothing_is_invoiced_with_them() -> None:
    with pytest.raises(UsageError, match=r"plugins\.billing\.seller_name, plugins\.billing\.seller_street"):
        BillingSettings().terms()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"prices": {}}, "prices: it has no price"),
        ({"prices": {"25000": "cheap"}}, "prices: 'cheap' is not a number"),
        ({"vat": "19,0"}, "vat: '19,0' is not a number"),
        ({"vat": "100.01"}, "vat must be from 0 to 100"),
        ({"vat": "-1"}, "vat must be from 0 to 100"),
        ({"timezone": "Mars/Olympus"}, "timezone: 'Mars/Olympus' is no time zone"),
        ({"timezone": "../etc/passwd"}, "is no time zone"),
        ({"currency": "euro"}, "currency: 'euro' is no code"),
        ({"seller_country": "Germany"}, "seller_country: 'Germany' is no code"),
        ({"number_prefix": "a b"}, "number_prefix may have"),
        ({"seller_iban": "DE02120300000000202052"}, "seller_iban: 'DE02120300000000202052' is no IBAN"),
        ({"seller_iban": "12345"}, "seller_iban: '12345' is no IBAN"),
        ({"billing_day": 29}, "billing_day must be at most 28"),
        ({"language": "fr"}, "language must be one of en, de"),
        ({"payment_days": -1}, "payment_days must be at least 0"),
    ],
)
def test_a_setting_that_cannot_be_right_is_an_error_at_the_start(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        section("plugins.billing", BillingSettings, table)


@pytest.mark.parametrize("name", ["seller_name", "seller_street", "seller_postcode", "seller_city", "seller_country"])
def test_an_invoice_needs_to_know_who_sells(name: str) -> None:
    with pytest.raises(UsageError if name == "seller_name" else ConfigError, match=f"say: plugins.billing.{name}$"):
        BillingSettings(**(SELLER | {name: ""})).terms()


def test_a_seller_has_one_number_for_the_tax_office() -> None:
    assert BillingSettings(**(SELLER | {"seller_vat_id": ""})).terms().seller.tax_number == "22/333/4444"
    with pytest.raises(ConfigError, match=r"plugins\.billing\.seller_vat_id$"):
        BillingSettings(**(SELLER | {"seller_vat_id": "", "seller_tax_number": ""})).terms()


def test_who_charges_no_vat_says_why() -> None:
    with pytest.raises(ConfigError, match=r"plugins\.billing\.vat_exemption$"):
        evolve(SETTINGS, vat="0")
    assert evolve(SETTINGS, vat="0", vat_exemption="§ 19 UStG").terms().exemption == "§ 19 UStG"


@pytest.mark.parametrize(("vat", "rate"), [("19", 1900), ("7.7", 770), ("8.10", 810), ("0", 0), ("100", 10_000)])
def test_the_rate_is_in_hundredths_of_a_per_cent(vat: str, rate: int) -> None:
    assert evolve(SETTINGS, vat=vat, vat_exemption="none is due").rate == rate


@pytest.mark.parametrize(
    ("day", "billing_day", "last"),
    [
        (date(2027, 1, 15), 15, date(2027, 1, 15)),
        (date(2027, 1, 14), 15, date(2026, 12, 15)),
        (date(2027, 3, 1), 28, date(2027, 2, 28)),
        (date(2027, 1, 1), 1, date(2027, 1, 1)),
    ],
)
def test_the_last_billing_date(day: date, billing_day: int, last: date) -> None:
    assert evolve(SETTINGS, billing_day=billing_day).billing_date(day) == last


def test_a_day_begins_where_the_operator_is() -> None:
    just_before_midnight = NOW + 15.5 * 3600  # 23:30 in UTC
    assert SETTINGS.day(just_before_midnight) == date(2027, 1, 15)
    berlin = evolve(SETTINGS, timezone="Europe/Berlin")
    assert berlin.day(just_before_midnight) == date(2027, 1, 16)
    assert berlin.end(date(2027, 1, 15)) == NOW + 15 * 3600
    assert berlin.end(date(2027, 3, 28)) - berlin.end(date(2027, 3, 27)) == 23 * 3600  # summer time begins


@pytest.mark.parametrize(
    ("billing_day", "begin"), [(1, date(2027, 1, 1)), (15, date(2027, 1, 14)), (20, date(2026, 12, 20))]
)
def test_somebody_new_is_billed_from_the_next_billing_date_on(billing_day: int, begin: date) -> None:
    assert evolve(SETTINGS, billing_day=billing_day).begin(NOW) == begin
