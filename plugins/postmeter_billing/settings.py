"""The plugin's settings: prices, the billing day, VAT, and who sells."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from attrs import frozen

from postmeter import ConfigError, Core, PluginSettings, UsageError, prices, setting
from postmeter_billing.invoice import Seller, Terms

Given = TypeVar("Given")
Read = TypeVar("Read")

PriceList = prices.PriceList
PRICES = {"25000": "0.00095", "100000": "0.00090", "250000": "0.00085", "500000": "0.00080", "1000000": "0.00075"}
LANGUAGES = ("en", "de")

_NEEDED = ("seller_name", "seller_street", "seller_postcode", "seller_city", "seller_country")


@frozen
class BillingSettings(PluginSettings):
    """What an operator says about prices and invoices; ConfigError when something cannot be right."""

    prices: dict[str, str] = setting(
        PRICES,
        "price of one mail by the size of the block from which on it holds; the highest one is that of a mail beyond "
        "all blocks",
    )
    currency: str = setting("EUR", "currency of the prices, three letters")
    billing_day: int = setting(1, "day of the month on which invoices are written", least=1, most=28)
    timezone: str = setting("UTC", 'where the days of invoices begin, such as "Europe/Berlin"')
    payment_days: int = setting(14, "days until an invoice is to be paid", least=0, most=365)
    vat: str = setting("19", "VAT in per cent")
    vat_exemption: str = setting("", "why there is no VAT on invoices, when `vat` is 0")
    language: str = setting("en", "language of invoices, unless the account has its own", choices=LANGUAGES)
    number_prefix: str = setting("", 'what numbers begin with, such as "PM-" for PM-2026-000001')
    seller_name: str = setting("", "who sells; without it nothing is invoiced")
    seller_street: str = setting("", "street and house number")
    seller_postcode: str = setting("", "postcode")
    seller_city: str = setting("", "city")
    seller_country: str = setting("", "country, two letters")
    seller_vat_id: str = setting("", "VAT identification number")
    seller_tax_number: str = setting("", "tax number, when there is no VAT identification number")
    seller_register: str = setting("", "entry in a register, managing directors and the like, for the foot")
    seller_contact: str = setting("", "person or department that answers questions (XRechnung needs it)")
    seller_phone: str = setting("", "telephone number (XRechnung needs it)")
    seller_email: str = setting("", "e-mail address (XRechnung needs it)")
    seller_bank: str = setting("", "name of the bank")
    seller_iban: str = setting("", "IBAN to pay to")
    seller_bic: str = setting("", "BIC of the bank")

    def __attrs_post_init__(self) -> None:
        """Read what has a form of its own, so that a mistake is told at the start."""
        _ = self.price_list, self.rate, self.zone
        for name, pattern in (("currency", "[A-Z]{3}"), ("seller_country", "([A-Z]{2})?")):
            if not re.fullmatch(pattern, getattr(self, name)):
                raise ConfigError(f"plugins.billing.{name}: {getattr(self, name)!r} is no code of capital letters")
        if not re.fullmatch(r"[A-Za-z0-9/._-]{0,20}", self.number_prefix):
            raise ConfigError("plugins.billing.number_prefix may have 20 letters, digits and / . _ -")
        if self.seller_iban and not _is_iban(self.seller_iban):
            raise ConfigError(f"plugins.billing.seller_iban: {self.seller_iban!r} is no IBAN")
        if self.seller_name and (missing := self._missing()):
            raise ConfigError(f"an invoice needs what these settings say: {missing}")

    @property
    def price_list(self) -> PriceList:
        """The prices."""
        return _parsed("prices", PriceList.parse, self.prices)

    @property
    def rate(self) -> int:
        """The VAT in hundredths of a per cent."""
        rate = _parsed("vat", lambda text: prices.units(text, prices.RATE), self.vat)
        if not 0 <= rate <= 10_000:
            raise ConfigError(f"plugins.billing.vat must be from 0 to 100, not {self.vat}")
        return rate

    @property
    def zone(self) -> ZoneInfo:
        """Where days begin."""
        return _parsed("timezone", _zone, self.timezone)

    def day(self, at: float) -> date:
        """The day of an instant."""
        return datetime.fromtimestamp(at, self.zone).date()

    def start(self, day: date) -> float:
        """The instant at which a day begins."""
        return datetime.combine(day, datetime.min.time(), self.zone).timestamp()

    def end(self, day: date) -> float:
        """The instant at which a day is over."""
        return self.start(day + timedelta(days=1))

    def past(self, day: date, now: float) -> date:
        """The day, which has begun; UsageError when it is to come."""
        if day > self.day(now):
            raise UsageError(f"{day} is still to come")
        return day

    def billing_date(self, day: date) -> date:
        """The last billing date until that day."""
        this = day.replace(day=self.billing_day)
        return this if this <= day else (day.replace(day=1) - timedelta(days=1)).replace(day=self.billing_day)

    def next_billing_date(self, day: date) -> date:
        """The first billing date after that day."""
        return (self.billing_date(day).replace(day=1) + timedelta(days=31)).replace(day=self.billing_day)

    def begin(self, at: float) -> date:
        """The day until which somebody new counts as billed: the billing date that was last is none of theirs."""
        today = self.day(at)
        return min(self.billing_date(today), today - timedelta(days=1))

    def terms(self) -> Terms:
        """What all invoices have in common; UsageError names what an invoice must have and no setting says."""
        if missing := self._missing():
            raise UsageError(f"an invoice needs what these settings say: {missing}")
        return Terms(self._seller(), self.currency, self.rate, self.vat_exemption, self.payment_days)

    def _missing(self) -> str:
        """The settings that an invoice needs and that say nothing."""
        missing = [name for name in _NEEDED if not getattr(self, name)]
        missing += [] if self.seller_vat_id or self.seller_tax_number else ["seller_vat_id"]
        missing += [] if self.rate or self.vat_exemption else ["vat_exemption"]
        return ", ".join(f"plugins.billing.{name}" for name in missing)

    def _seller(self) -> Seller:
        return Seller(**{name: getattr(self, f"seller_{name}") for name in Seller.__dataclass_fields__})


def _parsed(name: str, parse: Callable[[Given], Read], value: Given) -> Read:
    try:
        return parse(value)
    except ValueError as error:
        raise ConfigError(f"plugins.billing.{name}: {error}") from None


def _is_iban(text: str) -> bool:
    """Whether the check digits are right (ISO 13616)."""
    iban = "".join(text.split())
    if not re.fullmatch(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{8,30}", iban):
        return False
    return int("".join(str(int(c, 36)) for c in iban[4:] + iban[:4])) % 97 == 1


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError):
        raise ValueError(f"{name!r} is no time zone that this machine knows") from None


def own(core: Core) -> BillingSettings:
    """The settings of the plugin that was given this Core."""
    assert isinstance(core.own, BillingSettings)
    return core.own
