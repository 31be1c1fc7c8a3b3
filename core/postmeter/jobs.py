"""What a plugin does again and again: asked for once, and each job done when it is due."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from postmeter.hookspecs import Job

log = logging.getLogger(__name__)

ASK_AGAIN = 60.0  # seconds after the question has failed

# Calls something of the plugin's, under a name for the log; what it gives, and what it said if it failed.
Call = Callable[[str, Callable[[], Any]], tuple[Any, str]]


@dataclass(slots=True)
class Due:
    """A job and when it is to be done next, in seconds since the epoch."""

    job: Job
    at: float = 0.0


class Jobs:
    """The jobs of one plugin; ``ask`` is its hook, ``call`` the way in which all that is the plugin's is called."""

    def __init__(self, ask: Callable[[], Sequence[Job] | None] | None, call: Call) -> None:
        self._ask = ask
        self._call = call
        self._due: list[Due] | None = None if ask else []
        self._ask_at = 0.0

    def do(self, clock: Callable[[], float]) -> None:
        """Do what is due, each once; a job that fails is done again when it is due."""
        if self._due is None and clock() >= self._ask_at:
            self._due, failed = self._call("jobs", self._asked)
            self._ask_at = clock() + ASK_AGAIN if failed else 0.0
        for due in self._due or ():
            now = clock()
            if due.at <= now:
                due.at = now + due.job.every
                self._call(f"job {due.job.name}", partial(due.job.run, now))

    def _asked(self) -> list[Due]:
        jobs = list((self._ask and self._ask()) or ())
        for job in jobs:
            if not (isinstance(job, Job) and job.every > 0):
                raise TypeError(f"not a job: {job!r}")
        return [Due(job) for job in jobs]
