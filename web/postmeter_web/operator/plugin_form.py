"""The form of a plugin's settings, made from their schema; and what was entered as TOML would have it."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from flask_babel import gettext
from wtforms import BooleanField, Field, IntegerField, PasswordField, SelectField, StringField, TextAreaField
from wtforms.validators import InputRequired, NumberRange

from postmeter.plugin_settings import ENVIRONMENT, Layers, PluginSettings
from postmeter.setting import kinds
from postmeter_web.forms import Form

PREFIX = "set_"  # of the fields' names: a setting may be called like something that a form has


class SettingsForm(Form):
    """A plugin's settings; ``keys`` are those that can be changed here, each with its kind, and some are ``secret``."""

    keys: Mapping[str, Any]
    secret: Sequence[str]

    @property
    def fields(self) -> list[Field]:
        """The fields of the settings."""
        return [self[PREFIX + key] for key in self.keys]

    def entered(self, values: PluginSettings) -> dict[str, Any]:
        """What was changed, compared with ``values``; a secret that was left empty was not."""
        raw = {key: _raw(kind, self[PREFIX + key].data) for key, kind in self.keys.items()}
        return {
            key: value
            for key, value in raw.items()
            if (value if key in self.secret else _comparable(value) != _comparable(getattr(values, key)))
        }


def settings_form(layers: Layers, values: PluginSettings) -> SettingsForm:
    """The form of a plugin that has these values; what the environment says cannot be changed here."""
    known, fields = kinds(layers.schema), attrs.fields_dict(layers.schema)
    keys = {key: kind for key, kind in known.items() if layers.source(key) != ENVIRONMENT}
    secret = [key for key in keys if fields[key].metadata["secret"]]
    made = {PREFIX + key: _field(key, kind, fields[key].metadata) for key, kind in keys.items()}
    data = {PREFIX + key: _shown(getattr(values, key)) for key in keys if key not in secret}
    form: SettingsForm = type("PluginForm", (SettingsForm,), {**made, "keys": keys, "secret": secret})(data=data)
    return form


def _field(key: str, kind: Any, facts: Mapping[str, Any]) -> Field:
    description, usual = facts["help"], {"autocomplete": "off", "spellcheck": "false"}
    if facts["secret"]:
        return PasswordField(key, description=f"{description}. {gettext('Empty: it stays as it is.')}", render_kw=usual)
    if facts["choices"]:
        return SelectField(key, choices=lambda: [(one, one) for one in facts["choices"]], description=description)
    if kind is bool:
        return BooleanField(key, description=description)
    if kind is int:
        limits = NumberRange(facts["least"], facts["most"])
        return IntegerField(key, [InputRequired(), limits], description=description)
    if kind is str:
        return StringField(key, description=description, render_kw=usual)
    lines = gettext("one per line") if typing.get_origin(kind) is tuple else gettext("one per line: name = value")
    return TextAreaField(key, description=f"{description} ({lines})", render_kw={**usual, "rows": 3})


def _shown(value: Any) -> Any:
    """A value as the form has it."""
    if isinstance(value, tuple):
        return "\n".join(value)
    return "\n".join(f"{name} = {text}" for name, text in value.items()) if isinstance(value, dict) else value


def _raw(kind: Any, data: Any) -> Any:
    """What was entered, as TOML would have it."""
    if kind in (int, bool):
        return data
    if kind is str:
        return data or ""
    lines = [line.strip() for line in (data or "").splitlines() if line.strip()]
    if typing.get_origin(kind) is tuple:
        return lines
    return {name.strip(): text.strip() for name, _, text in (line.partition("=") for line in lines)}


def _comparable(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
