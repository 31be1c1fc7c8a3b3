"""Which of our addresses a mail leaves from: by its pool, by the servers' IP families, and by how warm they are."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

from twisted.internet.defer import Deferred

from postmeter.delivery.attempt import Delivery, left_over
from postmeter.delivery.route import Host
from postmeter.delivery.warm_up import WarmUp
from postmeter.source import PROBATION, TRANSACTIONAL, Pools, Source, is_here
from postmeter.store.engine import Store
from postmeter.store.pools import Assigned, assigned

log = logging.getLogger(__name__)

REMEMBERED = 5.0  # seconds for which a connection's pool is known


class PoolNames:
    """The pool of each connection's mail, read from the store and remembered for a few seconds."""

    def __init__(self, store: Store, pools: Collection[str]) -> None:
        self._store = store
        self._pools = pools
        self._known: dict[tuple[int, int], tuple[float, str]] = {}
        self._missed: set[str] = set()

    def of(self, account_id: int, connection_id: int) -> str:
        """The pool's name; it need not be one of those that there are. Blocks."""
        known = self._known.get((account_id, connection_id))
        now = time.monotonic()
        if known is not None and known[0] > now:
            return known[1]
        with self._store.read() as session:
            name = self._chosen(assigned(session, account_id, connection_id))
        self._known[account_id, connection_id] = (now + REMEMBERED, name)
        return name

    def _chosen(self, wanted: Assigned) -> str:
        for name in filter(None, (wanted.connection, wanted.account)):
            if name in self._pools:
                return name
            if name not in self._missed:
                log.warning("there is no pool %s in delivery.pools any more; the default takes its place", name)
                self._missed.add(name)
        return TRANSACTIONAL if wanted.paid or PROBATION not in self._pools else PROBATION


@dataclass(frozen=True, slots=True)
class Choice:
    """What a mail leaves from; ``address`` is the one that the first server in reach sees.

    ``over``: with this mail it has sent the provider too much today, as all others of the pool would have.
    """

    source: Source
    address: str
    over: bool = False


class Sources:
    """The sources of all pools. An address that this machine does not have is left out, until it has it."""

    def __init__(self, pools: Pools, warm_up: WarmUp | None, here: Callable[[str], bool] = is_here) -> None:
        self._all = pools
        self._warm_up = warm_up
        self._here = here
        self._gone: frozenset[str] = frozenset()
        self._pools = pools
        self._known: dict[tuple[str, tuple[bool, ...]], list[Choice]] = {}  # by pool and the hosts' families
        self.look()

    def look(self) -> None:
        """See which addresses this machine has now."""
        names = {address: name for name, pool in self._all.items() for one in pool for address in one.addresses}
        gone = frozenset(address for address in names if not self._here(address))
        for address in sorted(gone - self._gone):
            log.error("this machine has no address %s (pool %s); no mail leaves from it", address, names[address])
        for address in sorted(self._gone - gone):
            log.warning("this machine has the address %s (pool %s) again", address, names[address])
        self._gone = gone
        self._pools = {name: tuple(_present(pool, gone)) for name, pool in self._all.items()}
        self._known.clear()

    def choose(
        self, pool: str, message: str, provider: str, hosts: Sequence[Host], recipients: int = 1
    ) -> Choice | None:
        """The source for so many recipients of a message of a pool at these hosts; None: the machine's own choice.

        The same message leaves from the same source each time, as greylisting wants it, if that has room. More
        recipients than any cap has room for need not wait for an address that was not used today.
        """
        able = self._able(pool, hosts)
        if not able:
            return None
        first = crc32(message.encode()) % len(able)
        warm_up = self._warm_up
        if warm_up is None or not provider:
            return able[first]
        ours = able[first:] + able[:first]
        for one in ours:
            if warm_up.use(one.address, provider, recipients) <= 1:
                return one
        least = min(ours, key=lambda one: warm_up.use(one.address, provider))
        return replace(least, over=warm_up.use(least.address, provider) > 0)

    def follow(self, sent: Deferred[Delivery], choice: Choice, provider: str, recipients: int) -> None:
        """Count a mail that leaves as chosen, to its end."""
        if self._warm_up is None:
            return
        warm_up = self._warm_up
        warm_up.begin(choice.address, provider, recipients)

        def left(result: Any) -> Any:
            local, again = "", 0
            if isinstance(result, Delivery):
                local, again = result.facts.local, len(left_over(result.outcomes))
            warm_up.end(choice.address, provider, recipients - again, local)
            warm_up.end(choice.address, provider, again, "")  # which begin anew
            return result

        sent.addBoth(left)

    def _able(self, pool: str, hosts: Sequence[Host]) -> list[Choice]:
        """What can be chosen from: of a pool, or else of the default one."""
        key = (pool, tuple(":" in host.address for host in hosts))
        if (known := self._known.get(key)) is None:
            known = self._known[key] = self._in_reach(pool, hosts) or self._in_reach(TRANSACTIONAL, hosts)
        return known

    def _in_reach(self, pool: str, hosts: Sequence[Host]) -> list[Choice]:
        """The sources of a pool that have an address of a family of the hosts."""
        return [
            Choice(one, address)
            for one in self._pools.get(pool, ())
            if (address := next(filter(None, (one.towards(host.address) for host in hosts)), ""))
        ]


def _present(pool: tuple[Source, ...], gone: frozenset[str]) -> Iterator[Source]:
    for one in pool:
        left = replace(one, **{kind: "" for kind in ("ipv4", "ipv6") if getattr(one, kind) in gone})
        if left.addresses:
            yield left
