"""How figures and moments are written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask

from postmeter_web import show

AT = 1_795_500_000.0


@contextmanager
def page(app: Flask, language: str = "en") -> Iterator[None]:
    """A page in that language is being answered."""
    with app.test_request_context(headers={"Accept-Language": language}):
        yield


def test_moments_are_in_the_zone_of_the_settings_to_the_minute(app: Flask) -> None:
    with page(app):
        assert show.moment(AT) == show.moment(show.iso(AT)) == "24 Nov 2026, 06:00 UTC"
        assert show.moment("2026-11-24T06:00:00Z") == "24 Nov 2026, 06:00 UTC"
        assert show.clock(AT) == "06:00"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "1 second ago"), (59, "59 seconds ago"), (60, "1 minute ago"), (7199, "1 hour ago"), (200_000, "2 days ago")],
)
def test_the_past_is_told_in_its_largest_unit(app: Flask, seconds: float, words: str) -> None:
    with page(app):
        assert show.since(AT - seconds, AT) == words


def test_the_future_is_told_in_its_largest_unit(app: Flask) -> None:
    with page(app):
        assert show.until("2026-12-24T06:00:00Z", AT) == "in 30 days"
        assert show.until(AT, AT) == "in 1 second"


def test_numbers_are_grouped(app: Flask) -> None:
    with page(app):
        assert show.number(1234567) == "1,234,567"


def test_money_is_euros_to_the_cent_and_a_price_keeps_its_digits(app: Flask) -> None:
    with page(app):
        assert (show.money(2_375_000), show.money(95)) == ("€23.75", "€0.00095")


def test_germans_read_german_figures(app: Flask) -> None:
    with page(app, "de"):
        assert (show.number(1234567), show.money(2_375_000)) == ("1.234.567", "23,75\xa0€")
        assert show.money(95) == "0,00095\xa0€"
        assert show.moment(AT) == "24. Nov. 2026, 06:00 UTC"
        assert show.since(AT - 180, AT) == "vor 3 Minuten"


def test_shares_and_sizes(app: Flask) -> None:
    with page(app):
        assert (show.percent(1, 8), show.percent(0, 0)) == ("12.5%", "–")
        assert [show.octets(size) for size in (999, 1_500, 2_345_678)] == ["999 B", "1.5 kB", "2.3 MB"]
