"""Money is whole numbers: prices by tier, and one rounding to cents."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.quota.price import PRICE, PriceList, Tier, cents, decimal, shares, tax, units
from postmeter_billing.settings import PRICES

CENT = Decimal("0.01")
AMOUNTS = st.lists(st.integers(0, 10**12), max_size=50)


def test_25000_mails_cost_exactly_23_75() -> None:
    price = PriceList.parse(PRICES).of_block(25_000)
    assert decimal(cents(25_000 * price), 2) == "23.75"


def test_a_larger_block_has_the_price_of_its_tier() -> None:
    prices = PriceList.parse({"100000": "0.0009", "25000": "0.00095"})
    assert prices.tiers == (Tier(25_000, 95), Tier(100_000, 90))
    assert [prices.of_block(size) for size in (1000, 25_000, 99_999, 100_000, 10**9)] == [95, 95, 95, 90, 90]


def test_a_mail_beyond_all_blocks_costs_the_highest_price() -> None:
    assert PriceList.parse(PRICES).highest == 95
    assert PriceList.parse({"1": "0.001", "2": "0.5", "3": "0.1"}).highest == 50_000


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({}, "no price"),
        ({"0": "0.1"}, "'0' is not the size"),
        ({"-5": "0.1"}, "'-5' is not the size"),
        ({"many": "0.1"}, "'many' is not the size"),
        ({"25000": "0.000951"}, "at most 5 decimals"),
        ({"25000": "-0.1"}, "less than nothing"),
        ({"25000": "0,1"}, "'0,1' is not a number"),
        ({"25000": "1e-3"}, "'1e-3' is not a number"),
        ({"25000": "٣"}, "is not a number"),
        ({"25000": ""}, "'' is not a number"),
        ({"25000": "0.1", "025000": "0.2"}, "a size twice"),
    ],
)
def test_a_list_that_cannot_be_right_is_refused(texts: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        PriceList.parse(texts)


@pytest.mark.parametrize(("amount", "rounded"), [(0, 0), (499, 0), (500, 1), (1499, 1), (1500, 2), (-500, -1)])
def test_half_a_cent_is_rounded_up(amount: int, rounded: int) -> None:
    assert cents(amount) == rounded


@given(st.integers(-(10**15), 10**15))
def test_rounding_is_that_of_decimal(amount: int) -> None:
    expected = (Decimal(amount) / 10**PRICE).quantize(CENT, ROUND_HALF_UP)
    assert Decimal(decimal(cents(amount), 2)) == expected


@given(AMOUNTS)
def test_lines_add_up_to_the_sum_that_is_rounded_once(amounts: list[int]) -> None:
    assert sum(shares(amounts)) == cents(sum(amounts))


@given(AMOUNTS)
def test_a_line_is_less_than_a_cent_away_from_what_it_costs(amounts: list[int]) -> None:
    assert all(abs(share * 1000 - amount) < 1000 for share, amount in zip(shares(amounts), amounts, strict=True))


@given(st.lists(st.integers(0, 10**9).map(lambda n: n * 1000), max_size=50))
def test_lines_of_whole_cents_are_not_touched(amounts: list[int]) -> None:
    assert [share * 1000 for share in shares(amounts)] == amounts


@pytest.mark.parametrize(("net", "rate", "vat"), [(2375, 1900, 451), (0, 1900, 0), (50, 100, 1), (2375, 0, 0)])
def test_vat_is_rounded_on_the_rounded_sum(net: int, rate: int, vat: int) -> None:
    assert tax(net, rate) == vat
    assert tax(-net, rate) == -vat


@given(st.integers(-(10**12), 10**12), st.integers(1, 6))
def test_a_number_is_read_as_it_was_written(value: int, places: int) -> None:
    assert units(decimal(value, places), places) == value


@given(st.text(max_size=12))
def test_no_text_is_taken_for_a_number_by_mistake(text: str) -> None:
    try:
        value = units(text, PRICE)
    except ValueError:
        return
    assert Decimal(text) * 10**PRICE == value
