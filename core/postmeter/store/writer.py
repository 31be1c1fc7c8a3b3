"""Group commit: one thread commits together all the changes that wait (that is fast, not a weaker sync)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from postmeter.store.engine import Store
from postmeter.threads import BatchThread

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")
# A change to the database for many items at once: one result for each, in order.
Change = Callable[[Session, Sequence[Item]], Sequence[Result]]


@dataclass(slots=True, eq=False)
class Job:
    """One item of a change; ``done`` gets its result, or the exception that kept it from being committed."""

    change: Change[Any, Any]
    item: Any
    done: Callable[[Any], None]


Outcomes = list[tuple[Callable[[Any], None], Any]]


class Writer:
    """Commits what is submitted, in groups of one transaction; ``post`` brings each group's outcomes home at once.

    When a group fails, its jobs are tried again one by one, so that one bad item cannot refuse the others.
    """

    def __init__(self, store: Store, post: Callable[[Outcomes], None]) -> None:
        self._store = store
        self._post = post
        self._thread: BatchThread[Job] = BatchThread("writer", self._commit)

    def start(self) -> None:
        """Begin to commit."""
        self._thread.start()

    def stop(self) -> None:
        """Commit what was submitted, then end."""
        self._thread.stop()

    def submit(self, change: Change[Item, Result], item: Item, done: Callable[[Any], None]) -> None:
        """Have ``change`` made for ``item``; ``done`` is called through ``post`` after the commit."""
        self._thread.put(Job(change, item, done))

    def _commit(self, jobs: list[Job]) -> None:
        try:
            outcomes = self._together(jobs)
        except Exception as error:
            outcomes = self._separately(jobs, error)
        self._post(outcomes)

    def _together(self, jobs: list[Job]) -> Outcomes:
        groups: dict[Change[Any, Any], list[Job]] = {}
        for job in jobs:
            groups.setdefault(job.change, []).append(job)
        outcomes: Outcomes = []
        with self._store.write() as session:
            for change, group in groups.items():
                results = change(session, [job.item for job in group])
                outcomes += [(job.done, result) for job, result in zip(group, results, strict=True)]
        return outcomes

    def _separately(self, jobs: list[Job], error: Exception) -> Outcomes:
        if len(jobs) == 1 or (isinstance(error, DBAPIError) and error.connection_invalidated):
            log.error("a commit failed: %s", error, exc_info=error)
            return [(job.done, error) for job in jobs]
        log.warning("a group of %d failed and is tried one by one: %s", len(jobs), error)
        outcomes: Outcomes = []
        for job in jobs:
            try:
                outcomes += self._together([job])
            except Exception as own:
                log.error("a commit failed: %s", own, exc_info=own)
                outcomes.append((job.done, own))
        return outcomes
