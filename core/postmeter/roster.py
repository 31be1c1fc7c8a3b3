"""The roster of plugins: which there are, what they implement, how they fare, and what is set for them and where."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import Any

import attrs
from sqlalchemy.orm import Session

from postmeter import hooks, hookspecs
from postmeter.hooks import Plugins
from postmeter.plugin_settings import Layers
from postmeter.setting import kinds
from postmeter.store.events import Conditions, wanted
from postmeter.store.plugin_facts import CursorFacts, FailureFacts, PluginFacts, TroubleFacts, plugin_facts

ENABLED, MISSING, OFF = "enabled", "missing", "not enabled"
ASKED = ("on_accept", "on_sign")
HOOKS = {  # that are told, by the kind of the event
    "accepted": "on_arrive",
    "delivered": "on_deliver",
    "deferred": "on_defer",
    "delayed": "on_delay",
    "bounced": "on_bounce",
    "expired": "on_bounce",
    "complained": "on_complaint",
    "address_suppressed": "on_suppress",
    "quota_low": "on_quota_low",
    "quota_exhausted": "on_quota_low",
    "quota_overdraft": "on_quota_low",
    "quota_booked": "on_quota_change",
    "quota_renewed": "on_quota_change",
    "quota_expiring": "on_quota_change",
    "quota_expired": "on_quota_change",
    "connection_paused": "on_connection_change",
    "connection_resumed": "on_connection_change",
    "connection_warned": "on_connection_change",
    "domain_verified": "on_domain_change",
    "domain_broken": "on_domain_change",
    "domain_refused": "on_domain_change",
    "notice": "on_notice",
}


@dataclass(frozen=True)
class SettingFacts:
    """A setting of a plugin: its value, and where that comes from; of one that is secret the value is None."""

    key: str
    value: Any
    source: str
    default: Any
    help: str
    secret: bool


@dataclass(frozen=True)
class Listed:
    """A plugin as it is listed; ``order``: as which one it is asked by each hook that asks."""

    name: str
    version: str | None
    state: str
    hooks: tuple[str, ...]
    order: dict[str, int]
    policy: str | None
    time_limit: int | None
    settings: tuple[SettingFacts, ...]
    cursor: CursorFacts | None
    last_failure: FailureFacts | None
    troubles: tuple[TroubleFacts, ...]


def roster(session: Session, plugins: Plugins, now: float) -> list[Listed]:
    """All plugins: those that are loaded, those that are missing, and those that are installed but not enabled."""
    names = [name for name, _ in plugins.manager.list_name_plugin()]
    facts = plugin_facts(session, {name: wanted_by(plugins, name) for name in names}, now)
    listed = [_loaded(plugins, name, facts[name]) for name in names]
    listed += [_absent(name, MISSING) for name in plugins.missing]
    return listed + [_absent(name, OFF) for name in sorted(hooks.installed()) if name not in names]


def kinds_of(plugins: Plugins, name: str) -> list[str]:
    """The kinds of events that a plugin is told."""
    return [kind for kind, hook in HOOKS.items() if plugins.implementing(hook, name)]


def wanted_by(plugins: Plugins, name: str) -> Conditions:
    """The conditions for the events that a plugin is told."""
    return wanted(kinds_of(plugins, name), name if name in plugins.choosing else None)


def settings_facts(layers: Layers, values: Any) -> tuple[SettingFacts, ...]:
    """The settings of a plugin that has these values."""
    fields = attrs.fields_dict(layers.schema)
    return tuple(_setting(key, fields[key], layers.source(key), getattr(values, key)) for key in kinds(layers.schema))


def _setting(key: str, field: attrs.Attribute[Any], source: str, value: Any) -> SettingFacts:
    default: Any = field.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        default = typing.cast(Any, default).factory()
    secret = field.metadata["secret"]
    shown = (None, None) if secret else (value, default)
    return SettingFacts(key, shown[0], source, shown[1], field.metadata["help"], secret)


def _loaded(plugins: Plugins, name: str, facts: PluginFacts) -> Listed:
    specs = [hook for hook in vars(hookspecs) if hasattr(getattr(hookspecs, hook), "postmeter_spec")]
    own = plugins.own(name)
    return Listed(
        name=name,
        version=_version(name),
        state=ENABLED,
        hooks=tuple(hook for hook in specs if plugins.implementing(hook, name)),
        order={
            hook: n for hook in ASKED for n, one in enumerate(plugins.implementing(hook), 1) if one.plugin_name == name
        },
        policy=own.policy,
        time_limit=own.time_limit,
        settings=settings_facts(plugins.layers(name), own),
        cursor=facts.cursor,
        last_failure=facts.last_failure,
        troubles=facts.troubles,
    )


def _absent(name: str, state: str) -> Listed:
    return Listed(name, _version(name), state, (), {}, None, None, (), None, None, ())


def _version(name: str) -> str | None:
    """The version of the package that a plugin comes with."""
    entry = hooks.installed().get(name)
    return entry.dist.version if entry is not None and entry.dist is not None else None
