"""Searching messages: every filter finds what it should, whole lists come page by page, nobody sees others' mail."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import Any

import pytest
from sqlalchemy import text

from postmeter.message.identifier import new_id
from postmeter.store import search as searching
from postmeter.store.engine import Store
from postmeter.store.search import STATES, Hit, Place, Wanted, search
from postmeter.store.tables import BOUNCED, CANCELLED, DEFERRED, DELIVERED, EXPIRED, HELD, LEASED, QUEUED, Message
from support import archive
from support.archive import ACCOUNT, OTHER, SPAN
from support.stored import add_message
from support.tenants import NOW

NEEDLE = [
    {"message_id": "<needle@needle.example>"},
    {"reference": "order:needle"},
    {"recipient": "needle@NEEDLE.example"},
    {"recipient": "@needle.example"},
    {"sender": "Needle@needle.example"},
    {"sender": "@needle.example"},
    {"sender": "needle.example"},
    {"subject": "NEEDLE the"},
    {"reason": "250 needle"},
    {"state": "held"},
    {"connection_id": 9},
    {"domain": "needle.example"},
    {"provider": "Needle"},
    {"until": NOW - SPAN + 1},
    {"state": "queued", "subject": "needle", "recipient": "needle@needle.example", "since": NOW - SPAN - 1},
]


def found(store: Store, account: int = ACCOUNT, limit: int = 1000, before: Place | None = None, **wanted: Any) -> Any:
    with store.read() as session:
        return search(session, account, Wanted(**wanted), limit=limit, before=before, patience=60)


def add(store: Store, at: float, *states: tuple[str, str], account: int = 7, **columns: Any) -> str:
    """A message of that moment with recipients r0, r1, … in these states, after these answers."""
    identifier = new_id(int(at * 1000), bytes(10))
    with store.write() as session:
        add_message(session, identifier, account, list(states) or [(QUEUED, "")])
        for name, value in {"accepted_at": at, **columns}.items():
            setattr(session.get_one(Message, (identifier, account)), name, value)
    return identifier


def keys(hits: tuple[Hit, ...]) -> list[tuple[str, int]]:
    return [(hit.message_id, hit.n) for hit in hits]


@pytest.mark.parametrize("wanted", NEEDLE, ids=lambda wanted: "-".join(wanted))
def test_every_filter_finds_the_needle_and_nothing_else(store: Store, wanted: dict[str, Any]) -> None:
    archive.fill(store, 300)
    answer = found(store, **wanted)
    assert [hit.subject for hit in answer.hits] == ["The needle"]
    assert (answer.older, answer.looked_back_to) == (None, None)
    assert found(store, OTHER, **wanted).hits == ()
    assert [hit.message_id for hit in found(store, id=answer.hits[0].message_id).hits] == [answer.hits[0].message_id]


def test_what_is_nowhere_is_not_found(store: Store) -> None:
    archive.fill(store, 300)
    for wanted in (
        {"id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"},
        {"message_id": "<no>"},
        {"recipient": "x@y"},
        {"subject": "%"},
    ):
        answer = found(store, **wanted)
        assert (answer.hits, answer.older, answer.looked_back_to) == ((), None, None)


def test_the_newest_come_first_and_each_of_a_message_in_its_order(store: Store) -> None:
    old = add(store, NOW - 60, (DELIVERED, "250 ok"), (BOUNCED, "550 no"))
    new = add(store, NOW)
    assert keys(found(store, 7).hits) == [(new, 0), (old, 0), (old, 1)]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_the_pages_make_the_whole_list(store: Store, limit: int) -> None:
    for n in range(9):
        add(store, NOW + n, *[(DELIVERED, "250 ok"), (BOUNCED, "550 no")] * (n % 3 + 1))
    for wanted in ({}, {"state": "bounced"}, {"recipient": "R1@example.net"}):
        whole, pages = keys(found(store, 7, **wanted).hits), []
        place: Place | None = None
        while True:
            page = found(store, 7, limit, place, **wanted)
            assert len(page.hits) <= limit
            pages += keys(page.hits)
            if page.older is None:
                break
            place = Place.parse(str(page.older))
        assert pages == whole


def test_states_are_looked_for_as_they_are_counted(store: Store) -> None:
    ends = (QUEUED, LEASED, DEFERRED, HELD, DELIVERED, BOUNCED, EXPIRED, CANCELLED)
    add(store, NOW, *[(state, "250 ok") for state in ends])
    for name, states in STATES.items():
        assert [hit.state for hit in found(store, 7, state=name).hits] == [state for state in ends if state in states]


def test_days_are_bounds_of_the_moment_of_acceptance(store: Store) -> None:
    first, second = add(store, NOW), add(store, NOW + 10)
    assert keys(found(store, 7, since=NOW + 1).hits) == [(second, 0)]
    assert keys(found(store, 7, until=NOW + 10).hits) == [(first, 0)]
    assert keys(found(store, 7, since=NOW, until=NOW + 10.001).hits) == [(second, 0), (first, 0)]
    assert found(store, 7, since=NOW + 1, until=NOW + 9).hits == ()


def test_letters_beyond_ascii_are_found_in_small_and_in_capitals(store: Store) -> None:
    for n, subject in enumerate(("Ihre BESTÄTIGUNG", "Bestätigung", "bestätigung 7")):
        add(store, NOW + n, subject=subject)
    for word in ("bestätigung", "Bestätigung", "BESTÄTIGUNG"):
        assert len(found(store, 7, subject=word).hits) == 3


def test_what_means_something_to_the_database_is_only_text(store: Store) -> None:
    add(store, NOW, (BOUNCED, "550 100% full_box \\ '"), subject="50% off_'\\")
    for word in ("%", "_", "\\", "'", "50%", "off_"):
        assert len(found(store, 7, subject=word).hits) == 1
    for wanted in ({"subject": "5_%"}, {"recipient": "@%"}, {"sender": "@_hop.example"}, {"reason": "1__%"}):
        assert found(store, 7, **wanted).hits == ()
    assert len(found(store, 7, state="bounced", reason="full_box 100%").hits) == 1


@pytest.mark.parametrize(
    "wanted", [{}, {"subject": "needle"}, {"state": "bounced"}, {"recipient": "@mail3.example"}], ids=str
)
def test_a_search_that_gives_up_says_how_far_it_came_and_goes_on_from_there(
    store: Store, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, Any]
) -> None:
    archive.fill(store, 300)
    whole = found(store, **wanted)
    monkeypatch.setattr(searching, "FIRST", 10)
    hits, place, ends = [], None, []
    while True:
        with store.read() as session:
            part = search(
                session,
                ACCOUNT,
                Wanted(**wanted),
                before=place,
                limit=40,
                patience=0.5,
                clock=partial(next, count(0.0)),
            )
        hits += part.hits
        ends.append(part.looked_back_to)
        if part.older is None:
            break
        place = part.older
    assert tuple(hits) == whole.hits
    moments = [moment for moment in ends if moment is not None]
    assert moments == sorted(moments, reverse=True)
    assert moments
    assert ends[-1] is None


def test_it_looks_further_back_as_long_as_its_patience_lasts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.fill(store, 300)
    monkeypatch.setattr(searching, "FIRST", 10)
    with store.read() as session:
        answer = search(session, ACCOUNT, Wanted(subject="needle"), patience=20.0, clock=partial(next, count(0.0)))
    assert [hit.subject for hit in answer.hits] == ["The needle"]


def test_a_message_with_more_recipients_than_a_step_is_got_over(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "FIRST", 5)
    old = add(store, NOW - 100, (BOUNCED, "550 needle"))
    add(store, NOW, *[(BOUNCED, "550 no")] * 12)
    place: Place | None = None
    hits: tuple[Hit, ...] = ()
    for _ in range(5):
        with store.read() as session:
            part = search(session, 7, Wanted(state="bounced", reason="needle"), before=place, patience=0)
        hits, place = hits + part.hits, part.older
        if place is None:
            break
    assert (keys(hits), place) == ([(old, 0)], None)


@pytest.mark.parametrize(
    "place",
    ["", "x", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAV.", "Z.1", "01ARZ3NDEKTSV4RRFFQ69G5FAV.-1"],
)
def test_what_is_no_place_is_refused(place: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        Place.parse(place)


@pytest.mark.parametrize(
    ("wanted", "indexes"),
    [
        ({}, {"ix_message_in_order", "ix_message_account_id_id"}),
        ({"message_id": "<a@b>"}, {"COVERING INDEX ix_message_in_order", "ix_message_account_id_message_id"}),
        ({"reference": "order:1"}, {"ix_message_account_id_reference"}),
        ({"recipient": "a@b"}, {"COVERING INDEX ix_recipient_in_order", "ix_recipient_address"}),
        ({"state": "bounced"}, {"ix_recipient_trouble"}),
    ],
    ids=["newest", "message-id", "reference", "recipient", "state"],
)
def test_the_candidates_come_from_an_index(store: Store, wanted: dict[str, Any], indexes: set[str]) -> None:
    archive.fill(store, 2000)
    query = searching._way(ACCOUNT, Wanted(**wanted)).behind(Place("Z", 0)).limit(1)
    compiled = query.compile(store.engine, compile_kwargs={"render_postcompile": True})
    parameters = tuple(compiled.params[name] for name in compiled.positiontup or ()) or compiled.params
    with store.read() as session:
        if not store.sqlite:
            session.execute(text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN QUERY PLAN" if store.sqlite else "EXPLAIN"
        plan = session.connection().exec_driver_sql(f"{explain} {compiled}", parameters)
        told = "\n".join(str(tuple(row)) for row in plan)
        assert any(index in told for index in indexes)
