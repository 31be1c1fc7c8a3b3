"""A writer with what it brought home, and a small change to give it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from postmeter.store.tables import Account
from postmeter.store.writer import Outcomes, Writer
from support.tenants import NOW


class Desk:
    """A writer, and what it brought home, in order."""

    def __init__(self, store: Any) -> None:
        self.results: list[Any] = []
        self.posts = 0
        self.writer = Writer(store, self._post)

    def _post(self, outcomes: Outcomes) -> None:
        self.posts += 1
        for done, result in outcomes:
            done(result)

    def submit(self, change: Any, item: Any) -> None:
        self.writer.submit(change, item, lambda result: self.results.append((item, result)))

    def finish(self) -> list[Any]:
        """What came of all, after the end."""
        self.writer.start()
        self.writer.stop()
        return [result for _, result in self.results]


def note(session: Session, names: Sequence[str]) -> list[str]:
    """A change: accounts of these names; ``bad`` is refused."""
    for name in names:
        if name == "bad":
            raise ValueError(name)
        session.add(Account(name=name, created_at=NOW))
    session.flush()
    return [name.upper() for name in names]
