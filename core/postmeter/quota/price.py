"""Money without fractions: prices in whole numbers of 0.00001, amounts in cents, and the one rounding in between."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

PRICE, CENTS, RATE = 5, 2, 2  # decimals of a price, of an amount, and of a rate of VAT in per cent

_PER_CENT = 10 ** (PRICE - CENTS)  # so many units of a price are one cent
_DECIMAL = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]+))?")


@dataclass(frozen=True, slots=True)
class Tier:
    """The price of one mail (in 0.00001) that holds from a size of block on."""

    size: int
    price: int


@dataclass(frozen=True)
class PriceList:
    """Tiers, the smallest block first."""

    tiers: tuple[Tier, ...]

    @classmethod
    def parse(cls, texts: Mapping[str, str]) -> PriceList:
        """A list such as {"25000": "0.00095"}; ValueError says which entry is wrong."""
        tiers = sorted(_tiers(texts), key=lambda tier: tier.size)
        if not tiers:
            raise ValueError("it has no price")
        if len({tier.size for tier in tiers}) < len(tiers):
            raise ValueError("it has a size twice")
        return cls(tuple(tiers))

    def of_block(self, size: int) -> int:
        """What one mail costs in a block of that size; below the first tier as in it."""
        prices = [tier.price for tier in self.tiers if tier.size <= size]
        return prices[-1] if prices else self.tiers[0].price

    @property
    def highest(self) -> int:
        """What a mail beyond all blocks costs."""
        return max(tier.price for tier in self.tiers)


def cents(amount: int) -> int:
    """An amount of 0.00001 in cents, half a cent up (of a negative one, down)."""
    return _rounded(amount, _PER_CENT)


def shares(amounts: Sequence[int]) -> list[int]:
    """Amounts of 0.00001 in cents that add up to the rounded sum: each is less than a cent away from its own.

    An invoice's sum is rounded once, and its lines are what they add to it.
    """
    return [cents(after) - cents(before) for before, after in pairwise(accumulate(amounts, initial=0))]


def tax(net: int, rate: int) -> int:
    """The VAT in cents on cents, at a rate in hundredths of a per cent; halves up."""
    return _rounded(net * rate, 10_000)


def decimal(value: int, places: int) -> str:
    """A whole number of the smallest unit as decimal text, such as 95 with 5 places as 0.00095."""
    whole, rest = divmod(abs(value), 10**places)
    return f"{'-' if value < 0 else ''}{whole}.{rest:0{places}d}"


def units(text: str, places: int) -> int:
    """The whole number of the smallest unit that a decimal text names; ValueError when it is no such text."""
    found = _DECIMAL.fullmatch(text)
    if not found or len(found[3] or "") > places:
        raise ValueError(f"{text!r} is not a number with at most {places} decimals")
    value = int(found[2] + (found[3] or "").ljust(places, "0"))
    return -value if found[1] else value


def _tiers(texts: Mapping[str, str]) -> Iterator[Tier]:
    for size, price in texts.items():
        if not re.fullmatch(r"[0-9]{1,12}", size) or int(size) == 0:
            raise ValueError(f"{size!r} is not the size of a block")
        tier = Tier(int(size), units(price, PRICE))
        if tier.price < 0:
            raise ValueError(f"{price!r} is less than nothing")
        yield tier


def _rounded(numerator: int, denominator: int) -> int:
    """The nearest whole number; of two that are equally near the one further from zero."""
    nearest = (2 * abs(numerator) + denominator) // (2 * denominator)
    return -nearest if numerator < 0 else nearest
