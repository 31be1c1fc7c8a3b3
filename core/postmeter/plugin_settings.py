"""The settings of plugins: in tables [plugins.NAME], checked when it is known which plugins there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
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


DEFAULT, FILE, PANEL, ENVIRONMENT = "default", "file", "panel", "environment"  # where a value comes from


@frozen
class Layers:
    """What is set for a plugin, by where: the environment counts before the panel, and that before the file."""

    schema: type[PluginSettings]
    file: Mapping[str, Any] = attrs.Factory(dict)
    panel: Mapping[str, Any] = attrs.Factory(dict)
    environment: Mapping[str, Any] = attrs.Factory(dict)

    def with_panel(self, values: Mapping[str, Any]) -> Layers:
        """The same with these values of the panel; keys that there are no longer do not matter."""
        known = kinds(self.schema)
        return attrs.evolve(self, panel={key: value for key, value in values.items() if key in known})

    def settings(self, name: str) -> PluginSettings:
        """The settings of the plugin of that name; ConfigError names what is wrong."""
        table = {**self.file, **self.panel, **self.environment}
        made: PluginSettings = usable(name, section, f"plugins.{name}", self.schema, table)
        return made

    def source(self, key: str) -> str:
        """Where the value of a key comes from."""
        layers = ((ENVIRONMENT, self.environment), (PANEL, self.panel), (FILE, self.file))
        return next((source for source, layer in layers if key in layer), DEFAULT)


def plugin_settings(plugins: Plugins, schemas: Schemas) -> dict[str, PluginSettings]:
    """The settings of each loaded plugin, the file's under the environment's; ConfigError names what is wrong."""
    return {name: layers.settings(name) for name, layers in layers_of(plugins, schemas).items()}


def layers_of(plugins: Plugins, schemas: Schemas) -> dict[str, Layers]:
    """What file and environment say for each loaded plugin; ConfigError for a key that does not exist.

    So it does for what is set for a plugin that is not enabled: nobody would read it.
    """
    for name in plugins.tables:
        if name not in plugins.enabled and name not in schemas:
            raise ConfigError(f"[plugins.{name}]: there is no such key, and plugins.enabled names no such plugin")
    environment: dict[str, dict[str, Any]] = {}
    for variable, text in plugins.texts.items():
        _read(environment, schemas, plugins.enabled, variable, text)
    return {
        name: Layers(schema, file=plugins.tables.get(name, {}), environment=environment.get(name, {}))
        for name, schema in schemas.items()
    }


def _read(
    environment: dict[str, dict[str, Any]], schemas: Schemas, enabled: tuple[str, ...], variable: str, text: str
) -> None:
    """What one variable says; what is for a plugin that is enabled but not installed is passed over."""
    owners = [name for name in {*schemas, *enabled} if variable.startswith(f"{name}_")]
    name = max(owners, key=len, default="")
    key = variable.removeprefix(f"{name}_")
    known = kinds(schemas[name]) if name in schemas else {}
    if key in known:
        environment.setdefault(name, {})[key] = from_text(f"plugins.{name}.{key}", known[key], text)
    elif not name or name in schemas:
        full = f"{PREFIX}PLUGINS_{variable.upper()}"
        raise ConfigError(f"unknown setting plugins.{name or variable} (environment variable {full})")
