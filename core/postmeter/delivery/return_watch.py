"""Looks the return paths of sending domains up again, with their keys: whether bounces still come to this relay."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy.orm import Session
from twisted.internet.defer import Deferred

from postmeter.committing import Submit, commit
from postmeter.delivery.resolver import Resolver
from postmeter.store import returning
from postmeter.store.returning import Sight

log = logging.getLogger(__name__)

Read = Callable[[Callable[[Session], Any]], Deferred[Any]]


class ReturnWatch:
    """Looks at one return path at a time; ``own`` is the relay's own domain for bounces (empty: it has none)."""

    def __init__(
        self, resolver: Resolver, read: Read, submit: Submit, clock: Callable[[], float], hostname: str, own: str
    ) -> None:
        self._resolver = resolver
        self._read = read
        self._submit = submit
        self._clock = clock
        self._hostname = hostname
        self._own = own

    async def look(self, account_id: int, domain: str) -> None:
        """Look at the return path of a sending domain, if it has one; when the DNS gives no answer, nothing changes."""
        name: str = await self._read(partial(returning.wanted, account_id=account_id, domain=domain))
        if not name:
            return
        own = await self._exchanges(self._own) if self._own else []
        found = await self._exchanges(name)
        if found is None or own is None:
            log.info("the DNS gives no answer about %s at the moment", name if found is None else self._own)
            return
        problem = returning.fault_in(name, found, returning.exchanges(self._hostname, own))
        in_use = await self._record(Sight(account_id, domain, name, problem, self._clock()))
        if problem:
            state = "still used" if in_use else "not used"
            log.warning("the return path of %s of account %d is %s: %s", domain, account_id, state, problem)

    async def _exchanges(self, name: str) -> list[str] | None:
        """The MX records of a name; None when nobody knows."""
        answer = await self._resolver.lookup(name, "MX")
        return None if answer.status == "failure" else [record.to_text() for record in answer.records]

    async def _record(self, sight: Sight) -> bool:
        return bool(await commit(self._submit, returning.record_sights, sight))
