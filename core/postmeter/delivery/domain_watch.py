"""Looks DKIM records up again: of verified domains once a day, and of new keys, which then take over by themselves."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy.orm import Session
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults

from postmeter.committing import Submit, commit
from postmeter.config import Settings
from postmeter.delivery.resolver import Resolver
from postmeter.delivery.return_watch import ReturnWatch
from postmeter.message.signature import SigningKey
from postmeter.store import rotation
from postmeter.store.domain_checks import MOST, Look, any_due, claim, record_looks
from postmeter.store.domains import DomainKeys, domain_keys, examine
from postmeter.store.secrets import Secrets

log = logging.getLogger(__name__)

Read = Callable[[Callable[[Session], Any]], Deferred[Any]]
Keys = Mapping[tuple[int, str], DomainKeys]  # by account and domain


def build(settings: Settings, resolver: Resolver, secrets: Secrets, read: Read, submit: Submit) -> DomainWatch:
    """As the settings want it: return paths matter while bounces are received."""
    smtp, clock = settings.smtp, time.time
    returns = ReturnWatch(resolver, read, submit, clock, settings.hostname, smtp.return_path)
    return DomainWatch(resolver, secrets, read, submit, clock, returns if smtp.reports else None)


class DomainWatch:
    """Takes domains that are due, a handful at a time; all workers do, and none the same ones.

    ``read`` and ``submit`` bring functions into the threads that may block; ``clock`` gives seconds since the epoch.
    ``returns`` looks at the return paths of these domains.
    """

    def __init__(
        self,
        resolver: Resolver,
        secrets: Secrets,
        read: Read,
        submit: Submit,
        clock: Callable[[], float],
        returns: ReturnWatch | None = None,
    ) -> None:
        self._returns = returns
        self._resolver = resolver
        self._secrets = secrets
        self._read = read
        self._submit = submit
        self._clock = clock

    async def look(self) -> None:
        """Look all up that are due."""
        await self._look_at_own()
        while await self._read(lambda session: any_due(session, self._clock())):
            claimed: list[tuple[int, str]] = await commit(self._submit, claim, self._clock())
            keys: Keys = await self._read(partial(self._keys, claimed))
            looking = [ensureDeferred(self._look_up(*where, keys[where])) for where in claimed]
            await gatherResults(looking, consumeErrors=True)
            if len(claimed) < MOST:
                return

    def _keys(self, claimed: Sequence[tuple[int, str]], session: Session) -> Keys:
        return {where: domain_keys(session, self._secrets, *where) for where in claimed}

    async def _look_up(self, account_id: int, name: str, keys: DomainKeys) -> None:
        if self._returns is not None:
            await self._returns.look(account_id, name)
        found = {place: await self._texts(place) for place in keys.names}
        known = {place: texts for place, texts in found.items() if texts is not None}
        verdict = examine(keys, known)
        replaced = {key.algorithm for key in keys.waiting if key.selector in verdict.ready}
        needed = {key.dns_name for key in keys.active if key.algorithm not in replaced}
        if unknown := needed - set(known):
            log.info("the DNS gives no answer about %s at the moment", ", ".join(sorted(unknown)))
            return
        look = Look(account_id, name, verdict.problems, self._clock(), verdict.ready)
        active = await commit(self._submit, record_looks, look)
        if verdict.ready:
            log.info("new DKIM keys of %s sign from now on: %s", name, ", ".join(verdict.ready))
        if verdict.problems:
            state = "still active" if active else "inactive"
            log.warning("the domain %s of account %d is %s: %s", name, account_id, state, " ".join(verdict.problems))

    async def _look_at_own(self) -> None:
        """The operator's new keys; there is hardly ever one, so all workers look."""
        own: list[SigningKey] = await self._read(lambda session: rotation.operator_waiting(session, self._secrets))
        for key in own:
            texts = await self._texts(key.dns_name)
            if texts and await commit(self._submit, _take_over_own, (key, texts, self._clock())):
                log.info("a new DKIM key of the operator's signs from now on: %s", key.dns_name)

    async def _texts(self, name: str) -> list[str] | None:
        """The TXT texts of a name; None when nobody knows."""
        answer = await self._resolver.lookup(name, "TXT")
        return None if answer.status == "failure" else answer.texts


def _take_over_own(session: Session, found: Sequence[tuple[SigningKey, list[str], float]]) -> list[bool]:
    return [rotation.take_over_if_published(session, *one) for one in found]
