"""Plugins: found by entry point, loaded with their settings, and started in a thread of their own before they work."""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click
import pluggy
from sqlalchemy import Connection

from postmeter import hookspecs
from postmeter.config import Settings
from postmeter.containment import contained, usable
from postmeter.core import Core
from postmeter.errors import ConfigError
from postmeter.hookspecs import Service
from postmeter.plugin_settings import Layers, PluginSettings, layers_of
from postmeter.setting import kinds
from postmeter.store.chosen import chosen
from postmeter.store.engine import Store
from postmeter.store.secrets import Secrets

log = logging.getLogger(__name__)

GROUP = "postmeter"
ALWAYS = ("web",)  # the panel has its own switch: web.listen


class Plugins:
    """The plugins of this process; ``missing`` are names that were enabled but are not installed.

    ``own`` has each plugin's settings; those in ``choosing`` have to do only with connections that they name. Before
    ``attach`` a plugin can only be asked what it offers.
    """

    def __init__(
        self,
        manager: pluggy.PluginManager,
        missing: Sequence[str] = (),
        own: Mapping[str, PluginSettings] | None = None,
        layers: Mapping[str, Layers] | None = None,
    ) -> None:
        self.manager = manager
        self.missing = tuple(missing)
        self._layers = dict(layers or {})
        self._own = dict(own or {})
        self._starts: dict[str, Start] = {}
        choosing = self.implementing("by_connection")
        self.choosing = frozenset(one.plugin_name for one in choosing if usable(one.plugin_name, _call, one, {}))

    @classmethod
    def load(cls, settings: Settings) -> Plugins:
        """Load the enabled plugins; ConfigError for one that fails, or has a hook or a setting that does not exist.

        (A misspelt hook would never be called.)
        """
        found = installed()
        manager = new_manager()
        for name in (*ALWAYS, *settings.plugins.enabled):
            if name in found and not manager.has_plugin(name):
                usable(name, _register, manager, name, found[name])
        layers = layers_of(settings.plugins, _schemas(manager))
        own = {name: one.settings(name) for name, one in layers.items()}
        return cls(manager, [name for name in settings.plugins.enabled if name not in found], own, layers)

    def attach(
        self, settings: Settings, store: Store, secrets: Secrets, clock: Callable[[], float] = time.time
    ) -> None:
        """Give the plugins the relay that they work with; each is started before its first call.

        Each is lent the database of ``store``, and closing that closes what they have opened. What was set in the
        panel counts from here on.
        """
        with store.read() as session:
            self.overlay(chosen(session, secrets))
        for name, _ in self.manager.list_name_plugin():
            core = Core(name, settings, self.own(name), store.lend(name), secrets, clock)
            self._starts[name] = Start(core, self.implementing("on_start", name))

    def own(self, name: str) -> PluginSettings:
        """The settings of a plugin."""
        return self._own.get(name) or PluginSettings()

    def layers(self, name: str) -> Layers:
        """What is set for a plugin, and where."""
        return self._layers.get(name) or Layers(type(self.own(name)))

    def overlay(self, chosen: Mapping[str, Mapping[str, Any]]) -> None:
        """Put what was set in the panel over the file; of a plugin for which that cannot be, the log says so."""
        for name in chosen.keys() & dict(self.manager.list_name_plugin()).keys():
            layers = self.layers(name).with_panel(chosen[name])
            try:
                self._own[name] = layers.settings(name)
                self._layers[name] = layers
            except ConfigError as error:
                log.error("what the panel has set for the plugin %s is passed over: %s", name, error)

    def core(self, name: str) -> Core:
        """What a plugin works with, once it is attached."""
        return self._starts[name].core

    def implementing(self, hook: str, name: str | None = None) -> list[pluggy.HookImpl]:
        """The plugins' functions for a hook (or those of one plugin), in the order they are called."""
        found = reversed(getattr(self.manager.hook, hook).get_hookimpls())
        return [one for one in found if name is None or one.plugin_name == name]

    def call(self, implementation: pluggy.HookImpl, facts: Mapping[str, Any]) -> Any:
        """Call a plugin's function, after its start; blocks for as long as the plugin likes.

        RuntimeError in place of SystemExit and the like, which are not the plugin's to raise.
        """
        if implementation.plugin_name in self._starts:
            self._starts[implementation.plugin_name].ensure()
        return _call(implementation, facts)

    # What plugins offer; ConfigError names the one that gives no answer, or what is none

    def services(self, settings: Settings) -> list[Service]:
        """What the plugins want to have run."""
        return [
            service
            for one in self.implementing("services")
            for service in _offers(one, {"settings": settings}, Service)
        ]

    def migrations(self, name: str | None = None) -> dict[str, Sequence[Callable[[Connection], None]]]:
        """The steps of each plugin that has tables (or of one plugin)."""
        return {one.plugin_name: _offers(one, {}, Callable) for one in self.implementing("migrations", name)}

    def commands(self, name: str) -> list[click.Command]:
        """The commands that a plugin offers."""
        return [command for one in self.implementing("commands", name) for command in _offers(one, {}, click.Command)]


class Start:
    """The start of one plugin in this process: once, before anything else, and again if it has failed."""

    def __init__(self, core: Core, implementations: Sequence[pluggy.HookImpl]) -> None:
        self.core = core
        self._implementations = implementations
        self._lock = threading.Lock()
        self._done = not implementations

    def ensure(self) -> None:
        """Start the plugin unless that was done; raises what it raises."""
        if self._done:
            return
        with self._lock:
            if not self._done:
                for implementation in self._implementations:
                    _call(implementation, {"core": self.core})
                self._done = True


def _call(implementation: pluggy.HookImpl, facts: Mapping[str, Any]) -> Any:
    return contained(implementation.function, *(facts[name] for name in implementation.argnames))


def _offers(implementation: pluggy.HookImpl, facts: Mapping[str, Any], kind: Any) -> list[Any]:
    """What a plugin offers by a hook, each of this kind."""

    def ask() -> list[Any]:
        offers = list(_call(implementation, facts) or ())
        for offer in offers:
            if not isinstance(offer, kind):
                raise TypeError(f"{offer!r} is no {kind.__name__}")
        return offers

    offered: list[Any] = usable(implementation.plugin_name, ask)
    return offered


def installed() -> dict[str, EntryPoint]:
    """All plugins on this machine, enabled or not, by name."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def new_manager() -> pluggy.PluginManager:
    """A plugin manager that knows the hooks."""
    manager = pluggy.PluginManager("postmeter")
    manager.add_hookspecs(hookspecs)
    return manager


def _register(manager: pluggy.PluginManager, name: str, entry: EntryPoint) -> None:
    loaded = entry.load()
    manager.register(loaded() if isinstance(loaded, type) else loaded, name)
    manager.check_pending()
    _check(manager, name)


def _check(manager: pluggy.PluginManager, name: str) -> None:
    """TypeError for a hook that would never do what it says: each is called by itself, in a thread."""
    for caller in manager.get_hookcallers(manager.get_plugin(name)) or ():
        for one in caller.get_hookimpls():
            if one.plugin_name == name and (one.wrapper or one.hookwrapper):
                raise TypeError(f"{caller.name} cannot be a wrapper")
            if one.plugin_name == name and inspect.iscoroutinefunction(one.function):
                raise TypeError(f"{caller.name} cannot be a coroutine")


def _schemas(manager: pluggy.PluginManager) -> dict[str, type[PluginSettings]]:
    schemas = {name: PluginSettings for name, _ in manager.list_name_plugin()}
    for one in manager.hook.settings_schema.get_hookimpls():
        schemas[one.plugin_name] = usable(one.plugin_name, _schema, one)
    return schemas


def _schema(implementation: pluggy.HookImpl) -> type[PluginSettings]:
    """The class of a plugin's settings; TypeError for what is none."""
    schema = _call(implementation, {})
    if schema is None:
        return PluginSettings
    if not (isinstance(schema, type) and issubclass(schema, PluginSettings)):
        raise TypeError(f"{schema!r} is no class of settings")
    kinds(schema)
    return schema
