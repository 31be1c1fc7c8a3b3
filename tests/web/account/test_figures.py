"""Days as the visitor counts them, and figures bar by bar."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.store.statistics import BUCKET, DAY, HOUR, Bucket, Totals
from postmeter_web.account.figures import NOTHING, STEPS, Span, fold, plus

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def arrived(number: int) -> Totals:
    return Totals(number, 0, 0, number, 0, 0, 0, 0)


def test_today_begins_at_the_visitors_midnight_and_has_quarters_of_an_hour() -> None:
    span = Span.of(1, at("2026-11-26T23:30"), BERLIN)
    assert (span.since, len(span.starts), span.step) == (at("2026-11-26"), 96, BUCKET)
    assert span.offset == HOUR


def test_seven_days_are_today_and_six_before_by_the_hour() -> None:
    span = Span.of(7, at("2026-11-26T00:00"), BERLIN)
    assert (span.since, len(span.starts), span.step) == (at("2026-11-20"), 7 * 24, HOUR)


def test_thirty_days_begin_at_midnights_also_when_clocks_are_changed() -> None:
    span = Span.of(30, at("2026-11-10T12:00"), BERLIN)
    assert span.starts[0] == at("2026-10-12")
    assert [start for start in span.starts if datetime.fromtimestamp(start, BERLIN).hour != 0] == []
    assert {b - a for a, b in zip(span.starts, span.starts[1:], strict=False)} == {DAY, DAY + HOUR}


@pytest.mark.parametrize(("day", "quarters"), [("2026-03-29", 92), ("2026-10-25", 100)])
def test_a_day_on_which_clocks_are_changed_is_shorter_or_longer(day: str, quarters: int) -> None:
    assert len(Span.of(1, at(f"{day}T12:00"), BERLIN).starts) == quarters


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/St_Johns", "Pacific/Kiritimati"])
@pytest.mark.parametrize("days", list(STEPS))
def test_the_present_is_within_the_last_day_everywhere(zone: str, days: int) -> None:
    here = ZoneInfo(zone)
    now = at("2026-11-26T23:59", here)
    span = Span.of(days, now, here)
    assert span.starts[-1] <= now < span.starts[-1] + span.step
    assert datetime.fromtimestamp(span.since, here).time().isoformat() == "00:00:00"


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 9))), st.sampled_from(list(STEPS)))
def test_all_that_happened_is_in_the_bars(happened: list[tuple[int, int]], days: int) -> None:
    span = Span.of(days, datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp(), UTC)
    bars = fold([Bucket(span.since + quarter * BUCKET, arrived(by)) for quarter, by in happened], span.starts)
    assert [bar.start for bar in bars] == list(span.starts)
    assert plus(bar.totals for bar in bars).arrived == sum(by for _, by in happened)


def test_a_bar_has_what_happened_until_the_next() -> None:
    bars = fold([Bucket(0, arrived(1)), Bucket(900, arrived(2)), Bucket(3600, arrived(4))], (0, 3600, 7200))
    assert [bar.totals.arrived for bar in bars] == [3, 4, 0]
    assert bars[2].totals == NOTHING
