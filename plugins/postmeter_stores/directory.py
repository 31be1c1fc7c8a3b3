"""The connections that have a shop, in memory: no mail and no event costs a question to the database."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from sqlalchemy import select

from postmeter import Core, UsageError
from postmeter_stores.reference import Pattern
from postmeter_stores.tables import ShopRow

log = logging.getLogger(__name__)

FRESH = 3.0  # seconds that what was read is good for


@dataclass(frozen=True)
class Entry:
    """What a connection's mail and events need to know about its shop."""

    pattern: Pattern | None
    deliveries: bool


class Directory:
    """Reads the table of shops again every few seconds; for many threads."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._lock = threading.Lock()
        self._entries: dict[int, Entry] | None = None
        self._until = 0.0

    def entry(self, connection_id: int | None) -> Entry | None:
        """The connection's shop, if it has one; while one thread reads, the others go by what was known."""
        if self._core.clock() >= self._until and self._lock.acquire(blocking=self._entries is None):
            try:
                if self._core.clock() >= self._until:
                    self._read()
            finally:
                self._lock.release()
        return (self._entries or {}).get(connection_id or 0)

    def _read(self) -> None:
        query = select(ShopRow.connection_id, ShopRow.pattern, ShopRow.deliveries)
        with self._core.read() as session:
            rows = session.execute(query).all()
        self._entries = {row[0]: Entry(_pattern(row[1]), row[2]) for row in rows}
        self._until = self._core.clock() + FRESH


def _pattern(text: str) -> Pattern | None:
    """The pattern; one that another version of RE2 has taken and this one does not must not stop any mail."""
    try:
        return Pattern(text) if text else None
    except UsageError as error:
        log.error("an order pattern is passed over: %s", error)
        return None
