"""The settings of plugins: in tables [plugins.NAME], checked when it is known which plugins there are."""

from __future__ import annotations

import typing
from collections.abc import Mapping

from attrs import frozen

from postmeter.config import PREFIX, Plugins
from postmeter.containment import usable
from postmeter.errors import ConfigError
from postmeter.setting import from_text, kinds, section, setting

Schemas = Mapping[str, type["PluginSettings"]]  # by the plugin's name


@frozen
class PluginSettings:
    """What can be set for any plugin; a plugin that has settings of its own extends this class with ``setting``."""

    policy: str = setting(
        "tempfail",
        "what becomes of a message about which the plugin gives no answer: refused for now (451), or let through",
        choices=("tempfail", "open"),
    )
    time_limit: int = setting(2, "seconds that the plugin has for an answer", least=1, most=30)


def plugin_settings(plugins: Plugins, schemas: Schemas) -> dict[str, PluginSettings]:
    """The settings of each loaded plugin, the file's under the environment's; ConfigError names what is wrong.

    So does what is set for a plugin that is not enabled: nobody would read it.
    """
    tables = {name: dict(table) for name, table in plugins.tables.items()}
    for name in tables:
        if name not in plugins.enabled and name not in schemas:
            raise ConfigError(f"[plugins.{name}]: there is no such key, and plugins.enabled names no such plugin")
    for variable, text in plugins.texts.items():
        _overlay(tables, schemas, plugins.enabled, variable, text)
    return {
        name: usable(name, section, f"plugins.{name}", schema, tables.get(name, {})) for name, schema in schemas.items()
    }


def _overlay(
    tables: dict[str, dict[str, typing.Any]], schemas: Schemas, enabled: tuple[str, ...], variable: str, text: str
) -> None:
    """Put one variable over the file's value; what is for a plugin that is enabled but not installed is passed over."""
    owners = [name for name in {*schemas, *enabled} if variable.startswith(f"{name}_")]
    name = max(owners, key=len, default="")
    key = variable.removeprefix(f"{name}_")
    known = kinds(schemas[name]) if name in schemas else {}
    if key in known:
        tables.setdefault(name, {})[key] = from_text(f"plugins.{name}.{key}", known[key], text)
    elif not name or name in schemas:
        full = f"{PREFIX}PLUGINS_{variable.upper()}"
        raise ConfigError(f"unknown setting plugins.{name or variable} (environment variable {full})")
