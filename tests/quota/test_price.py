"""Prices: tiers, the overdraft at the highest price, and one rounding to cents."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.quota.price import OVERDRAFT_PRICE, PriceList, Tier, cents

TIERED = PriceList((Tier(25_000, 95), Tier(100_000, 80), Tier(1_000_000, 60)))


def test_25_000_mails_of_overdraft_cost_23_euro_75() -> None:
    assert OVERDRAFT_PRICE == 95
    assert cents(PriceList().overdraft(25_000)) == 2_375
    assert cents(25_000 * OVERDRAFT_PRICE) == 2_375


@pytest.mark.parametrize(
    ("units", "price"), [(0, 95), (24_999, 95), (25_000, 95), (99_999, 95), (100_000, 80), (1_000_000, 60), (10**9, 60)]
)
def test_a_block_is_paid_at_the_price_of_its_tier(units: int, price: int) -> None:
    assert TIERED.price(units) == price
    assert TIERED.block(units) == units * price


def test_the_overdraft_is_paid_at_the_highest_price() -> None:
    assert TIERED.overdraft(3) == 3 * 95
    assert PriceList((Tier(0, 50), Tier(10, 70))).highest == 70


@pytest.mark.parametrize(("amount", "rounded"), [(0, 0), (499, 0), (500, 1), (1_499, 1), (1_500, 2), (-500, -1)])
def test_halves_are_rounded_up(amount: int, rounded: int) -> None:
    assert cents(amount) == rounded


@given(st.integers(-(10**15), 10**15))
def test_cents_are_what_decimals_say(amount: int) -> None:
    exact = Decimal(amount) / 100_000
    assert cents(amount) == int(exact.quantize(Decimal("0.01"), ROUND_HALF_UP) * 100)


@given(st.lists(st.integers(0, 10**6), max_size=20))
def test_a_sum_is_rounded_once(units: list[int]) -> None:
    total = cents(sum(units) * OVERDRAFT_PRICE)
    assert abs(total * 1_000 - sum(n * OVERDRAFT_PRICE for n in units)) <= 500


@pytest.mark.parametrize(
    ("tiers", "told"),
    [
        ((), "needs a price"),
        ((Tier(5, 1), Tier(5, 1)), "rising"),
        ((Tier(6, 1), Tier(5, 1)), "rising"),
        ((Tier(0, -1),), "negative"),
        ((Tier(-1, 1),), "negative"),
    ],
)
def test_what_is_no_price_list_is_refused(tiers: tuple[Tier, ...], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        PriceList(tiers)
