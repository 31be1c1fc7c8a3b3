"""The tables of plugins: each plugin's own steps, taken once and in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection

from postmeter.errors import PostmeterError
from postmeter.store import schema
from postmeter.store.engine import Store
from postmeter.store.plugin_tables import PluginStep

Steps = Mapping[str, Sequence[Callable[[Connection], None]]]  # by plugin


def migrate(store: Store, steps: Steps) -> None:
    """Take the steps that have not been taken, each plugin's all or none; who comes second finds it done.

    PostmeterError when a newer version of a plugin has taken more than there are.
    """
    for plugin, own in steps.items():
        with store.write() as session:
            schema.alone(session.connection())
            row = session.get(PluginStep, plugin) or PluginStep(plugin=plugin, taken=0)
            _check(plugin, row.taken, len(own))
            for step in own[row.taken :]:
                step(session.connection())
            row.taken = len(own)
            session.add(row)


def ensure(store: Store, steps: Steps) -> None:
    """Make the tables of plugins that have none yet, and check the others: never migrates under a relay that runs."""
    with store.read() as session:
        taken = {row.plugin: row.taken for row in session.query(PluginStep)}
    migrate(store, {plugin: own for plugin, own in steps.items() if plugin not in taken})
    for plugin, number in taken.items():
        if plugin in steps:
            _check(plugin, number, len(steps[plugin]))
            if number < len(steps[plugin]):
                raise PostmeterError(
                    f"the tables of the plugin {plugin} are of an older version; stop the relay, then `postmeter up` "
                    "migrates them"
                )


def _check(plugin: str, taken: int, known: int) -> None:
    if taken > known:
        raise PostmeterError(f"the tables of the plugin {plugin} were made by a newer version of it; install that")
