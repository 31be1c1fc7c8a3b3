"""How figures, money, moments and commands are written in the pages: Jinja filters in the visitor's language."""

from __future__ import annotations

import shlex
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal

from babel import dates
from babel.numbers import format_percent
from flask import Flask
from flask_babel import format_currency, format_date, format_datetime, format_decimal, format_time, get_locale

from postmeter_web.sentences import in_words

UNITS_PER_EURO = 100_000  # money is kept in integers of 0.00001 EUR


def init_app(app: Flask) -> None:
    """Make the filters known to the templates of ``app``."""
    filters = (number, money, cents, percent, octets, moment, day, calendar, month, clock, iso, since, until, in_words)
    app.jinja_env.filters.update({one.__name__: one for one in filters}, shell=shlex.quote)


def number(value: int) -> str:
    """Digits in groups of three: 25,000 or 25.000."""
    return str(format_decimal(value))


def money(units: int, currency: str = "EUR") -> str:
    """An amount of 0.00001 EUR as euros, to the cent: €23.75 or 23,75 €; a price keeps its further digits."""
    amount = Decimal(units) / UNITS_PER_EURO
    exact = amount == round(amount, 2)
    return str(format_currency(amount, currency, currency_digits=exact, format=None if exact else _PRICE[_language()]))


def cents(amount: int, currency: str = "EUR") -> str:
    """The same of an amount in cents, such as invoices have."""
    return money(amount * UNITS_PER_EURO // 100, currency)


def percent(part: int, whole: int) -> str:
    """The share of ``part`` in ``whole``, with one digit behind the point; nothing of nothing is a dash."""
    return str(format_percent(part / whole, _SHARE[_language()], locale=get_locale())) if whole else "–"


def octets(size: int) -> str:
    """A size in octets, kB or MB."""
    if size < 1_000:
        return f"{size} B"
    unit, name = (1_000, "kB") if size < 1_000_000 else (1_000_000, "MB")
    return f"{format_decimal(round(Decimal(size) / unit, 1))} {name}"


def moment(at: float | str) -> str:
    """A point in time (seconds since the epoch, or ISO 8601 text), to the minute, in the visitor's time zone."""
    return str(format_datetime(_utc(at), f"{_DAY[_language()]}, HH:mm z"))


def day(at: float | str) -> str:
    """The date of a point in time."""
    return str(format_date(_utc(at), _DAY[_language()]))


def calendar(at: date | str) -> str:
    """A date that is the same in every time zone, as a date or in ISO 8601, such as an invoice's."""
    return str(dates.format_date(_date(at), _DAY[_language()], locale=get_locale()))


def month(at: float) -> str:
    """The month that a point in time is in, in UTC: "January 2027"."""
    return str(dates.format_date(_utc(at).date(), "MMMM y", locale=get_locale()))


def clock(at: float) -> str:
    """The time of day, to the minute."""
    return str(format_time(_utc(at), "HH:mm"))


def iso(at: float | str) -> str:
    """The same for machines, to the second."""
    return _utc(at).isoformat(timespec="seconds")


def since(at: float, now: float) -> str:
    """How long ago ``at`` was, in its largest unit: "3 minutes ago"."""
    return _distance(min(-1.0, at - now))


def until(at: float | str, now: float) -> str:
    """How long it is until ``at``: "in 29 days"."""
    return _distance(max(1.0, _utc(at).timestamp() - now))


_DAY = {"en": "d MMM y", "de": "d. MMM y"}
_PRICE = {"en": "¤0.00000", "de": "0.00000\xa0¤"}
_SHARE = {"en": "#,##0.0%", "de": "#,##0.0\xa0%"}
_Unit = Literal["day", "hour", "minute", "second"]
_UNITS: tuple[tuple[int, _Unit], ...] = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def _distance(seconds: float) -> str:
    size, unit = next(((size, unit) for size, unit in _UNITS if abs(seconds) >= size), _UNITS[-1])
    return str(
        dates.format_timedelta(
            timedelta(seconds=int(seconds / size) * size),
            granularity=unit,
            threshold=1_000_000,  # all in this unit: 30 days, not 4 weeks
            add_direction=True,
            locale=get_locale(),
        )
    )


def _language() -> str:
    locale = get_locale()
    return locale.language if locale else "en"


def _date(given: date | str) -> date:
    return date.fromisoformat(given) if isinstance(given, str) else given


def _utc(at: float | str) -> datetime:
    if isinstance(at, str):
        parsed = datetime.fromisoformat(at)
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return datetime.fromtimestamp(at, UTC)
