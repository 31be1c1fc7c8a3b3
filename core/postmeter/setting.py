"""One setting: its default and what it means, its text in a variable, and its value checked; also for plugins."""

from __future__ import annotations

import tomllib
import typing
from collections.abc import Mapping
from typing import Any

import attrs

from postmeter.errors import ConfigError


def setting(
    default: Any,
    help: str,
    *,
    least: int | None = None,
    most: int | None = None,
    choices: tuple[str, ...] = (),
    secret: bool = False,
) -> Any:
    """One key: its default, what it means (README's table says the same), the numbers or the values allowed.

    What is ``secret`` is never shown, and sealed where it is stored.
    """
    factory = attrs.Factory(lambda: default) if isinstance(default, dict) else default
    metadata = {"help": help, "least": least, "most": most, "choices": choices, "secret": secret}
    return attrs.field(default=factory, metadata=metadata)


def from_text(name: str, kind: Any, text: str) -> Any:
    """What a variable's text says: lists are comma-separated, tables TOML inline tables or ``a=b,c=d``."""
    origin = typing.get_origin(kind)
    if kind is str:
        return text
    if kind is bool and text.lower() in ("true", "false", "1", "0"):
        return text.lower() in ("true", "1")
    if kind is int and text.isdecimal():
        return int(text)
    if text.startswith(("[", "{")):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{name}: {error}") from None
    items = [item.strip() for item in text.split(",") if item.strip()]
    if origin is tuple:
        return items
    if origin is dict and all("=" in item for item in items):
        return dict(item.split("=", 1) for item in items)
    raise ConfigError(f"{name}: {text!r} is not {_KINDS.get(kind, 'right')}")


_KINDS = {
    int: "a whole number",
    bool: "true or false",
    str: "a text",
    tuple[str, ...]: "a list of texts",
    dict[str, str]: "a table of texts",
}


def kinds(cls: Any) -> dict[str, Any]:
    """The type of each key of a class of settings; TypeError for one that no setting can have."""
    types = typing.get_type_hints(cls)
    found = {field.name: types[field.name] for field in attrs.fields(cls) if "help" in field.metadata}
    for key, kind in found.items():
        if kind not in _KINDS:
            raise TypeError(f"{cls.__qualname__}.{key} is {kind!r}, which no setting can be")
    return found


def section(name: str, cls: Any, table: Mapping[str, Any]) -> Any:
    """A class of settings with the values of its table; ConfigError names the key that is unknown or wrong."""
    fields = attrs.fields_dict(cls)
    types = kinds(cls)
    for key in table:
        if key not in types:
            raise ConfigError(f"unknown setting {name}.{key}; [{name}] has: {', '.join(types)}")
    return cls(**{key: _value(f"{name}.{key}", types[key], fields[key], value) for key, value in table.items()})


def _value(name: str, kind: Any, field: attrs.Attribute[Any], value: Any) -> Any:
    """The value in its right type; ConfigError says what is expected."""
    origin = typing.get_origin(kind)
    if origin is tuple:
        if not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            raise ConfigError(f"{name} must be {_KINDS[kind]}")
        return tuple(value)
    if origin is dict:
        if not (isinstance(value, dict) and all(isinstance(item, str) for item in value.values())):
            raise ConfigError(f"{name} must be {_KINDS[kind]}")
        return dict(value)
    if type(value) is not kind:
        raise ConfigError(f"{name} must be {_KINDS[kind]}, not {value!r}")
    least, most, choices = (field.metadata[key] for key in ("least", "most", "choices"))
    if least is not None and value < least:
        raise ConfigError(f"{name} must be at least {least}")
    if most is not None and value > most:
        raise ConfigError(f"{name} must be at most {most}")
    if choices and value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
    return value
