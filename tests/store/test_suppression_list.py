"""Suppressions as a table: what is written is read as it was, and what is over asks for nothing."""

from __future__ import annotations

import pytest

from postmeter.errors import UsageError
from postmeter.store.cursors import Position
from postmeter.store.engine import Store
from postmeter.store.events import after
from postmeter.store.suppression_list import Over, Problem, judged, read, written
from postmeter.store.suppressions import BOUNCE, MANUAL, Suppression, suppress_all, suppressions_of, take_in
from support.tenants import NOW

MESSAGE = "01M845D52EFTKSJPV36DHCW3RR"
HEADS = ("address", "since", "expires", "message")


def test_a_list_is_read_as_it_was_written_once_a_part_of_it_is_over(store: Store) -> None:
    made = [
        Suppression(1, "ann@example.org", BOUNCE, "550 no", MESSAGE, NOW, NOW + 60),
        Suppression(1, "bob@example.org", MANUAL, "", None, NOW - 9, NOW + 7200),
        Suppression(1, "joe@example.org", BOUNCE, "552 full", MESSAGE, NOW - 5, None),
    ]
    with store.write() as session:
        suppress_all(session, made)
        rows = list(written(session, 1, NOW))
    table = read(rows, 1, NOW + 3600)
    assert (table.made, table.problems, table.over) == (tuple(made[1:]), (), 1)


def test_what_is_taken_in_keeps_its_beginning_and_is_news_of_now(store: Store) -> None:
    made = Suppression(1, "joe@example.org", BOUNCE, "550 no", MESSAGE, NOW - 90_000, None)
    with store.write() as session:
        take_in(session, [made], NOW)
    with store.read() as session:
        assert suppressions_of(session, 1, NOW) == [made]
        [event] = after(session, Position(0, 0), 10, ["address_suppressed"])
    assert (event.at, event.message_id, event.facts["reason"]) == (NOW, None, BOUNCE)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("2027-01-01", "", MESSAGE), (1_798_761_600.0, MESSAGE)),
        (("", "", "an offer"), (NOW, None)),
        (("2100-01-01T00:00:00Z", "", ""), (NOW, None)),
    ],
)
def test_when_and_by_which_message_it_began_is_kept(
    cells: tuple[str, str, str], expected: tuple[float, str | None]
) -> None:
    [one] = judged([HEADS, ("joe@example.org", *cells)], 1, NOW)
    assert isinstance(one, Suppression)
    assert (one.created_at, one.message_id) == expected


def test_what_is_over_is_no_mistake_but_what_is_no_date_is() -> None:
    rows = [HEADS, ("joe@example.org", "", "2026-01-01", ""), ("ann@example.org", "long ago", "", "")]
    assert list(judged(rows, 1, NOW)) == [Over(2), Problem(3, "'long ago' is no date such as 2030-12-31")]


@pytest.mark.parametrize("date", ["0001-01-01T00:00:00+01:00", "1969-12-31", "9999-12-31T23:59:59-14:00", "9999-12-31"])
@pytest.mark.parametrize("column", ["since", "expires"])
def test_a_date_that_cannot_be_told_again_is_a_mistake(column: str, date: str) -> None:
    rows = [("address", column), ("joe@example.org", date)]
    assert list(judged(rows, 1, NOW)) == [Problem(2, f"{date!r} is no date such as 2030-12-31")]


def test_a_list_of_what_is_over_is_no_empty_file() -> None:
    assert read([("joe@example.org", "", "2026-01-01")], 1, NOW).over == 1
    with pytest.raises(UsageError):
        read([("",)], 1, NOW)
