"""Prices without fractions: integers of 0.00001 EUR, lists with tiers, and the one rounding to cents of an invoice."""

from __future__ import annotations

from dataclasses import dataclass

PER_CENT = 1_000  # units of money (0.00001 EUR) in a cent
OVERDRAFT_PRICE = 95  # 0.00095 EUR for a mail beyond all blocks: the highest price of the default list


@dataclass(frozen=True, slots=True)
class Tier:
    """Blocks of at least ``units`` mails cost ``price`` (in 0.00001 EUR) a mail, each of them."""

    units: int
    price: int


@dataclass(frozen=True, slots=True)
class PriceList:
    """What mails cost: tiers with rising sizes; ValueError with a sentence when they are none."""

    tiers: tuple[Tier, ...] = (Tier(0, OVERDRAFT_PRICE),)

    def __post_init__(self) -> None:
        if not self.tiers:
            raise ValueError("a price list needs a price")
        if any(tier.units < 0 or tier.price < 0 for tier in self.tiers):
            raise ValueError("sizes and prices are not negative")
        sizes = [tier.units for tier in self.tiers]
        if sizes != sorted(set(sizes)):
            raise ValueError("the tiers of a price list have rising sizes")

    @property
    def highest(self) -> int:
        """The highest price of a mail: that of the overdraft."""
        return max(tier.price for tier in self.tiers)

    def price(self, units: int) -> int:
        """The price of each mail of a block: that of its tier; below the first one the first one's."""
        reached = [tier.price for tier in self.tiers if tier.units <= units]
        return reached[-1] if reached else self.tiers[0].price

    def block(self, units: int) -> int:
        """What a block costs, in 0.00001 EUR."""
        return units * self.price(units)

    def overdraft(self, units: int) -> int:
        """What mails beyond all blocks cost, in 0.00001 EUR."""
        return units * self.highest


def cents(amount: int) -> int:
    """An amount of 0.00001 EUR in cents, halves away from zero; to be done once, with an invoice's sum."""
    rounded = (abs(amount) + PER_CENT // 2) // PER_CENT
    return rounded if amount >= 0 else -rounded
