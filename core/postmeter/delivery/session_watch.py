"""Tells the store of a worker's sessions with each provider, and begins again with those that are resumed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from twisted.internet.defer import Deferred, ensureDeferred

from postmeter.committing import Submit
from postmeter.delivery.desk import Read
from postmeter.delivery.shaping import Shaper
from postmeter.rounds import defect
from postmeter.store.provider_sessions import NONE, Report, Sessions, report, resumptions

EVERY = 2.0  # seconds: so old is what people see, and so long takes their word


class SessionWatch:
    """Of one worker; ``read`` runs a function in a thread, ``submit`` hands a change to the writer.

    Only what has changed is told, so that a worker without mail writes nothing.
    """

    def __init__(self, read: Read, submit: Submit, worker: int, shaper: Shaper) -> None:
        self._read = read
        self._submit = submit
        self._worker = worker
        self._shaper = shaper
        self._told: dict[str, Sessions | None] = {}  # None: nobody knows whether it was committed
        self._telling = False
        self._resumed: Mapping[str, float] | None = None  # None: before the first look there is nothing to forget

    def look(self) -> Deferred[None]:
        """Once more."""
        return ensureDeferred(self._look()).addErrback(defect)

    async def _look(self) -> None:
        self._tell(self._shaper.sessions())
        before, self._resumed = self._resumed, await self._read(resumptions)
        if before is not None:
            self._shaper.begin_again({name for name, at in self._resumed.items() if before.get(name) != at})

    def _tell(self, now: Mapping[str, Sessions]) -> None:
        changed = {one: now.get(one, NONE) for one in {*now, *self._told}}
        changed = {one: sessions for one, sessions in changed.items() if sessions != self._told.get(one, NONE)}
        if changed and not self._telling:
            self._telling = True
            self._submit(report, Report(self._worker, changed), partial(self._done, changed))

    def _done(self, changed: Mapping[str, Sessions], result: Exception | None) -> None:
        self._telling = False
        if isinstance(result, Exception):
            self._told |= dict.fromkeys(changed)
        else:
            self._told |= changed
            self._told = {one: sessions for one, sessions in self._told.items() if sessions != NONE}
