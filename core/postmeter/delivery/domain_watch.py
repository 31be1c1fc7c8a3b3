"""Looks the DKIM records of verified domains up again, once a day, so that nobody sends for long without them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy.orm import Session
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults

from postmeter.delivery.resolver import Resolver
from postmeter.delivery.settling import Submit
from postmeter.message.signature import SigningKey
from postmeter.store.domain_checks import MOST, Look, any_due, claim, record_looks
from postmeter.store.domains import account_keys, judge
from postmeter.store.secrets import Secrets

log = logging.getLogger(__name__)

Read = Callable[[Callable[[Session], Any]], Deferred[Any]]
Keys = Mapping[tuple[int, str], Sequence[SigningKey]]  # by account and domain


class DomainWatch:
    """Takes domains that are due, a handful at a time; all workers do, and none the same ones.

    ``read`` and ``submit`` bring functions into the threads that may block; ``clock`` gives seconds since the epoch.
    """

    def __init__(
        self, resolver: Resolver, secrets: Secrets, read: Read, submit: Submit, clock: Callable[[], float]
    ) -> None:
        self._resolver = resolver
        self._secrets = secrets
        self._read = read
        self._submit = submit
        self._clock = clock

    async def look(self) -> None:
        """Look all up that are due."""
        while await self._read(lambda session: any_due(session, self._clock())):
            claimed: list[tuple[int, str]] = await self._commit(claim, self._clock())
            keys: Keys = await self._read(partial(self._keys, claimed))
            looking = [ensureDeferred(self._look_up(*where, keys[where])) for where in claimed]
            await gatherResults(looking, consumeErrors=True)
            if len(claimed) < MOST:
                return

    def _keys(self, claimed: Sequence[tuple[int, str]], session: Session) -> Keys:
        return {where: account_keys(session, self._secrets, *where) for where in claimed}

    async def _look_up(self, account_id: int, name: str, keys: Sequence[SigningKey]) -> None:
        found = {key.dns_name: await self._texts(key.dns_name) for key in keys}
        known = {place: texts for place, texts in found.items() if texts is not None}
        if len(known) < len(found):
            log.info("the DNS gives no answer about %s at the moment", ", ".join(set(found) - set(known)))
            return
        problems = tuple(judge(keys, known))
        active = await self._commit(record_looks, Look(account_id, name, problems, self._clock()))
        if problems:
            state = "still active" if active else "inactive"
            log.warning("the domain %s of account %d is %s: %s", name, account_id, state, " ".join(problems))

    async def _texts(self, name: str) -> list[str] | None:
        """The TXT texts of a name; None when nobody knows."""
        answer = await self._resolver.lookup(name, "TXT")
        if answer.status == "failure":
            return None
        records: Sequence[Any] = answer.records
        return [b"".join(record.strings).decode("utf-8", "replace") for record in records]

    async def _commit(self, change: Any, item: Any) -> Any:
        """What a change made of an item, once it is committed; raises what kept it from that."""
        committed: Deferred[Any] = Deferred()
        self._submit(change, item, committed.callback)
        result = await committed
        if isinstance(result, Exception):
            raise result
        return result
