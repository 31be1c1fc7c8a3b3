"""The settings: one TOML file, every key also an environment variable; an unknown key is an error that names it."""

from __future__ import annotations

import os
import socket
import tomllib
import typing
from collections.abc import Iterable, Mapping
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from postmeter.errors import ConfigError
from postmeter.guard import Guard
from postmeter.sections import Block as Block
from postmeter.sections import Delivery as Delivery
from postmeter.sections import Demo as Demo
from postmeter.sections import Overdraft as Overdraft
from postmeter.sections import Plugins as Plugins
from postmeter.sections import Server as Server
from postmeter.sections import Smtp as Smtp
from postmeter.sections import Store as Store
from postmeter.sections import Web as Web
from postmeter.setting import from_text, section
from postmeter.source import is_host_name, pools

PREFIX = "POSTMETER_"  # of environment variables that are settings


@frozen
class Settings:
    """All sections; ``load`` makes them."""

    server: Server = attrs.Factory(Server)
    store: Store = attrs.Factory(Store)
    smtp: Smtp = attrs.Factory(Smtp)
    delivery: Delivery = attrs.Factory(Delivery)
    demo: Demo = attrs.Factory(Demo)
    block: Block = attrs.Factory(Block)
    overdraft: Overdraft = attrs.Factory(Overdraft)
    guard: Guard = attrs.Factory(Guard)
    web: Web = attrs.Factory(Web)
    plugins: Plugins = attrs.Factory(Plugins)

    @property
    def hostname(self) -> str:
        """The configured name, or this machine's; ConfigError when that one is no host name."""
        return self.server.hostname or _machine()

    @property
    def data(self) -> Path:
        """The data folder."""
        return Path(self.server.data)

    @property
    def providers_file(self) -> Path | None:
        """The operator's own limits of receiving providers."""
        return self.data / self.delivery.providers if self.delivery.providers else None

    @property
    def worker_count(self) -> int:
        """How many workers run."""
        return self.server.workers or len(os.sched_getaffinity(0))

    @property
    def store_url(self) -> str:
        """The SQLAlchemy URL of the store."""
        return self.store.url or f"sqlite:///{self.data / 'postmeter.db'}"


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of the file at ``path`` (None: none) under the environment; ConfigError names what is wrong."""
    tables = _read(path) if path else {}
    kinds = typing.get_type_hints(Settings)
    for name, table in tables.items():
        if name not in kinds:
            raise ConfigError(f"unknown section [{name}]; there are: {', '.join(kinds)}")
        if not isinstance(table, dict):
            raise ConfigError(f"{name} must be a table: [{name}]")
    of_plugins = _take_tables(tables.get("plugins", {}))
    texts = _overlay(tables, environment)
    made = {name: section(name, kind, tables.get(name, {})) for name, kind in kinds.items()}
    made["plugins"] = attrs.evolve(made["plugins"], tables=of_plugins, texts=texts)
    settings = Settings(**made)
    if settings.server.hostname and not is_host_name(settings.server.hostname):
        raise ConfigError(f"server.hostname: {settings.server.hostname!r} is not a host name in ASCII letters")
    if settings.smtp.return_path and not is_host_name(settings.smtp.return_path):
        raise ConfigError(f"smtp.return_path: {settings.smtp.return_path!r} is not a domain name in ASCII letters")
    pools(settings.delivery.pools)
    return settings


@cache
def _machine() -> str:
    """What this machine calls itself; asked for once, since the answer may come from the DNS."""
    name = socket.getfqdn()
    if not is_host_name(name):
        raise ConfigError(f"this machine's name {name!r} is not a host name in ASCII letters; set server.hostname")
    return name


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration file {path}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None


def _take_tables(table: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Take the tables of single plugins out of the section [plugins]."""
    return {name: table.pop(name) for name, value in list(table.items()) if isinstance(value, dict)}


def _overlay(tables: dict[str, Any], environment: Mapping[str, str]) -> dict[str, str]:
    """Put POSTMETER_<SECTION>_<KEY> over the file's values; every other variable that begins so is an error.

    Gives what is below POSTMETER_PLUGINS and may be a plugin's own, by the rest of its name in lower case.
    """
    of_plugins: dict[str, str] = {}
    sections = typing.get_type_hints(Settings)
    for variable, text in environment.items():
        if not variable.startswith(PREFIX):
            continue
        name, _, key = variable.removeprefix(PREFIX).lower().partition("_")
        if name not in sections:
            known = ", ".join(sections)
            raise ConfigError(f"unknown section [{name}] (environment variable {variable}); there are: {known}")
        keys = typing.get_type_hints(sections[name])
        if sections[name] is Plugins and key != "enabled":
            of_plugins[key] = text
        elif key not in keys:
            raise ConfigError(f"unknown setting {name}.{key} (environment variable {variable})")
        else:
            tables.setdefault(name, {})[key] = from_text(f"{name}.{key}", keys[key], text)
    return of_plugins


def networks(name: str, texts: Iterable[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    """The networks that these texts name (an address is one of its own); ConfigError names the setting."""
    try:
        return tuple(ip_network(text, strict=False) for text in texts)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None


def address(name: str, text: str) -> tuple[str, int]:
    """Host and port of ``127.0.0.1:2587`` or ``[::1]:2587``; ConfigError names the setting."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isdecimal() and int(port) < 65536):
        raise ConfigError(f"{name}: {text!r} is not an address such as 127.0.0.1:2587 or [::1]:2587")
    return host, int(port)
