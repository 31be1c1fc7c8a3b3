"""How figures, money, moments and commands are written in the pages: Jinja filters in the visitor's language."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

from babel.dates import format_timedelta
from babel.numbers import format_percent
from flask import Flask
from flask_babel import format_currency, format_date, format_datetime, format_decimal, format_time, get_locale

from postmeter_web.roles import role_meaning, role_name
from postmeter_web.sentences import in_words

UNITS_PER_EURO = 100_000  # money is kept in integers of 0.00001 EUR


def init_app(app: Flask) -> None:
    """Make the filters known to the templates of ``app``."""
    filters = (number, money, percent, octets, moment, day, clock, iso, since, until, in_words, role_name, role_meaning)
    app.jinja_env.filters.update({one.__name__: one for one in filters}, shell=shlex.quote)


def number(value: int) -> str:
    """Digits in groups of three: 25,000 or 25.000."""
    return str(format_decimal(value))


def money(units: int) -> str:
    """An amount of 0.00001 EUR as euros, to the cent: €23.75 or 23,75 €; a price keeps its further digits."""
    amount = Decimal(units) / UNITS_PER_EURO
    exact = amount == round(amount, 2)
    return str(format_currency(amount, "EUR", currency_digits=exact, format=None if exact else _PRICE[_language()]))


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
    return str(format_datetime(_utc(at), "d MMM y, HH:mm z" if _language() == "en" else "d. MMM y, HH:mm z"))


def day(at: float | str) -> str:
    """The date of a point in time."""
    return str(format_date(_utc(at), "medium"))


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


_PRICE = {"en": "¤0.00000", "de": "0.00000\xa0¤"}
_SHARE = {"en": "#,##0.0%", "de": "#,##0.0\xa0%"}
_Unit = Literal["day", "hour", "minute", "second"]
_UNITS: tuple[tuple[int, _Unit], ...] = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def _distance(seconds: float) -> str:
    size, unit = next(((size, unit) for size, unit in _UNITS if abs(seconds) >= size), _UNITS[-1])
    return str(
        format_timedelta(
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


def _utc(at: float | str) -> datetime:
    if isinstance(at, str):
        parsed = datetime.fromisoformat(at)
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return datetime.fromtimestamp(at, UTC)
