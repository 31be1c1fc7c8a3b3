"""What is wrong with plugins at present, as far as the workers know: where they are not asked, or hang."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from postmeter.store.cursors import storable
from postmeter.store.plugin_tables import PluginTrouble
from postmeter.store.worker_tables import Worker


@dataclass(frozen=True, slots=True)
class Trouble:
    """In a worker, a plugin has failed or hangs in ``hook`` since then; ``error`` empty: no longer."""

    plugin: str
    hook: str
    worker: int
    error: str
    since: float


def note(session: Session, troubles: Sequence[Trouble]) -> Sequence[None]:
    """A change for the writer: begin or end them; those of workers that are gone end as well."""
    session.execute(delete(PluginTrouble).where(PluginTrouble.worker.not_in(select(Worker.id))))
    for one in troubles:
        key = (PluginTrouble.plugin == one.plugin, PluginTrouble.hook == one.hook, PluginTrouble.worker == one.worker)
        session.execute(delete(PluginTrouble).where(*key))
        if one.error:
            error = storable(one.error)
            session.add(
                PluginTrouble(plugin=one.plugin, hook=one.hook, worker=one.worker, error=error, since=one.since)
            )
            session.flush()
    return [None] * len(troubles)


def present(session: Session) -> list[Trouble]:
    """All of them, of workers that run."""
    rows = session.scalars(
        select(PluginTrouble)
        .where(PluginTrouble.worker.in_(select(Worker.id)))
        .order_by(PluginTrouble.plugin, PluginTrouble.since)
    )
    return [Trouble(row.plugin, row.hook, row.worker, row.error, row.since) for row in rows]
