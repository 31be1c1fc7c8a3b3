"""Lists as CSV files: streamed, read part by part, and the audit log tells who took them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from flask import Response, abort, stream_with_context
from sqlalchemy.orm import Session

from postmeter import csv_file
from postmeter.csv_file import Cell
from postmeter.store.audit import Entry
from postmeter_web.context import panel
from postmeter_web.show import iso

MOST = 100_000  # rows of a file
PART = 1_000  # rows read in one transaction, so that nothing is held up
CHANGES = ("at", "actor", "address", "account", "action", "subject", "facts")


class Numbered(Protocol):
    """A row of a list that goes back by its number."""

    @property
    def id(self) -> int:
        """Its number."""


N = TypeVar("N", bound=Numbered)


class Turn:
    """One of the few places for those who take a file: reading one keeps a thread, and what a slow client has not got.

    Given back at the end of the answer, however that comes.
    """

    def __init__(self) -> None:
        self._room: threading.BoundedSemaphore | None = panel().files
        if not self._room.acquire(blocking=False):
            abort(429)

    def give_back(self) -> None:
        """Let the next one; once."""
        room, self._room = self._room, None
        if room:
            room.release()

    def during(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The pieces of the file; an error in the midst of them ends the turn, too."""
        try:
            yield from pieces
        finally:
            self.give_back()


def download(name: str, rows: Iterable[Sequence[Cell]]) -> Response:
    """The answer that is a file of that name; 429 while others take files."""
    turn = Turn()
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    written = stream_with_context(turn.during(csv_file.lines(rows)))
    answer = Response(written, content_type="text/csv; charset=utf-8", headers=headers)
    answer.call_on_close(turn.give_back)
    return answer


def backwards(read: Callable[[Session, int | None, int], Sequence[N]]) -> Iterator[N]:
    """Everything that ``read`` gives of at most so many rows with a number below the given one, newest first."""
    before: int | None = None
    left = MOST
    while left > 0:
        with panel().store.read() as db:
            part = read(db, before, min(PART, left))
        yield from part
        left -= len(part)
        if len(part) < PART:
            return
        before = part[-1].id


def changes(entries: Iterable[Entry]) -> Iterator[tuple[Cell, ...]]:
    """The audit log's entries as rows, with their heads."""
    yield CHANGES
    for one in entries:
        facts = "; ".join(f"{name}: {value}" for name, value in one.facts.items())
        yield (iso(one.at), one.actor, one.address, one.account, one.action, one.subject, facts)
