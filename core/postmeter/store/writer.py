"""Group commit: one thread commits together all the changes that wait (that is fast, not a weaker sync)."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from postmeter.store.engine import Store
from postmeter.store.errors import connection_lost, disk_is_full, in_short, unusable
from postmeter.threads import BatchThread

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")
# A change to the database for many items at once: one result for each, in order. It may have a method
# ``confirm(session, items)`` that finds each one's result after a commit whose answer was lost (None: not committed).
# A change without is made again then, and its results are those of the second time: it may change nothing more (as
# settling and heartbeats), nor give out anything that would be forgotten (as leasing does).
Change = Callable[[Session, Sequence[Item]], Sequence[Result]]

TELL_AGAIN = 1.0  # seconds between lines in the log while the database cannot be used
GATHER = 0.003  # seconds to wait for more where several clients wait already
LOOK_AGAIN = 1.0  # seconds until a database that is gone is looked for again, to find an outcome out


@dataclass(slots=True, eq=False)
class Job:
    """One item of a change; ``done`` gets its result, or the exception that kept it from being committed."""

    change: Change[Any, Any]
    item: Any
    done: Callable[[Any], None]


Outcomes = list[tuple[Callable[[Any], None], Any]]


class OutcomeUnknown(Exception):
    """The commit itself failed: it may have been made all the same."""


class Writer:
    """Commits what is submitted, in groups of one transaction; ``post`` brings each group's outcomes home at once.

    When a group fails, its parts are tried again, so that one bad item cannot refuse the others; unless the database
    cannot be used at all (the disk is full, the server is away): then all are answered at once. When a commit's
    answer is lost, the database is asked what became of it before anybody is answered.
    """

    def __init__(
        self, store: Store, post: Callable[[Outcomes], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._post = post
        self._clock = clock
        self._tell_at = -math.inf
        self._stopping = threading.Event()
        self._awaited = 0  # how many of the last group somebody waited for
        self._thread: BatchThread[Job] = BatchThread("writer", self._commit, pause=self._pause)

    def start(self) -> None:
        """Begin to commit."""
        self._thread.start()

    def stop(self) -> None:
        """Commit what was submitted, then end."""
        self._stopping.set()
        self._thread.stop()

    def submit(self, change: Change[Item, Result], item: Item, done: Callable[[Any], None]) -> None:
        """Have ``change`` made for ``item``; ``done`` is called through ``post`` after the commit."""
        self._thread.put(Job(change, item, done))

    def _pause(self) -> float:
        """Where several clients wait for commits, the next ones are near: one commit for them costs half."""
        return GATHER if self._awaited > 1 else 0.0

    def _commit(self, jobs: list[Job]) -> None:
        self._awaited = sum(getattr(job.change, "awaited", False) for job in jobs)
        # SQLite has one writer, and each commit costs a sync. PostgreSQL has many, which would deadlock if some
        # transactions made two changes in another order than others.
        for group in [jobs] if self._store.sqlite else _by_change(jobs):
            self._post(self._made(group))

    def _made(self, jobs: list[Job]) -> Outcomes:
        try:
            return self._together(jobs)
        except OutcomeUnknown as unknown:
            log.warning("the answer to a commit was lost: %s", in_short(unknown.__cause__ or unknown))
            return self._find_out(jobs, unknown.__cause__ or unknown)
        except Exception as error:
            if len(jobs) == 1 or unusable(error):
                return self._failed(jobs, error)
            log.warning("a group of %d failed and is tried in parts: %s", len(jobs), in_short(error))
        return [outcome for part in _parts(jobs) for outcome in self._made(part)]

    def _together(self, jobs: list[Job]) -> Outcomes:
        outcomes: Outcomes = []
        made = False
        try:
            with self._store.write() as session:
                for group in _by_change(jobs):
                    results = group[0].change(session, [job.item for job in group])
                    outcomes += [(job.done, result) for job, result in zip(group, results, strict=True)]
                made = True
        except Exception as error:
            if made and not disk_is_full(error):  # that is no commit (SQLite finds it out there)
                raise OutcomeUnknown from error
            raise
        return outcomes

    def _failed(self, jobs: list[Job], error: BaseException) -> Outcomes:
        if not unusable(error):
            log.error("a commit failed: %s", in_short(error), exc_info=error)
        elif (now := self._clock()) >= self._tell_at:
            self._tell_at = now + TELL_AGAIN
            log.error("the database cannot be used: %s", in_short(error))
        return [(job.done, error) for job in jobs]

    # Lost answers

    def _find_out(self, jobs: list[Job], error: BaseException) -> Outcomes:
        """What became of each; what was not committed is tried once more, one by one.

        That also waits for a commit which the server is still at: its rows keep ours from being inserted.
        """
        found, missing = self._known(jobs, error)
        while missing:
            job = missing.pop(0)
            try:
                found += self._together([job])
            except Exception as again:
                cause = again.__cause__ or again if isinstance(again, OutcomeUnknown) else again
                doubtful = [job, *missing] if unusable(again) else [job]  # unusable: the others will not fare better
                known, failed = self._known(doubtful, cause)
                found += known + self._failed(failed, cause)
                missing = [] if unusable(again) else missing
        return found

    def _known(self, jobs: list[Job], error: BaseException) -> tuple[Outcomes, list[Job]]:
        """As ``_look_up``; when the database does not tell, all have failed."""
        try:
            return self._look_up(jobs)
        except Exception as trouble:
            log.error("what became of a commit could not be found out: %s", in_short(trouble), exc_info=trouble)
            return self._failed(jobs, error), []

    def _look_up(self, jobs: list[Job]) -> tuple[Outcomes, list[Job]]:
        """The outcomes that the database knows, and the jobs it does not know; waits for a database that is gone."""
        while True:
            try:
                with self._store.read() as session:
                    return _confirmed(session, jobs)
            except Exception as error:
                if not connection_lost(error) or self._stopping.wait(LOOK_AGAIN):
                    raise


def _confirmed(session: Session, jobs: list[Job]) -> tuple[Outcomes, list[Job]]:
    found: Outcomes = []
    missing: list[Job] = []
    for group in _by_change(jobs):
        confirm = getattr(group[0].change, "confirm", None)
        results = confirm(session, [job.item for job in group]) if confirm else [None] * len(group)
        for job, result in zip(group, results, strict=True):
            if result is None:
                missing.append(job)
            else:
                found.append((job.done, result))
    return found, missing


def _by_change(jobs: list[Job]) -> list[list[Job]]:
    groups: dict[Change[Any, Any], list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.change, []).append(job)
    return list(groups.values())


def _parts(jobs: list[Job]) -> list[list[Job]]:
    """A failed group's changes; of one change, its halves."""
    groups = _by_change(jobs)
    if len(groups) > 1:
        return groups
    half = len(jobs) // 2
    return [jobs[:half], jobs[half:]]
