"""Settings of plugins that were chosen in the panel; what is secret is stored sealed."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from postmeter.errors import PostmeterError
from postmeter.store.plugin_tables import PluginSetting
from postmeter.store.secrets import Secrets

log = logging.getLogger(__name__)

Chosen = dict[str, dict[str, Any]]  # by plugin and key: values as TOML has them


def chosen(session: Session, secrets: Secrets) -> Chosen:
    """All of them; one that cannot be unsealed any more is left out, and the log says so."""
    found: Chosen = {}
    for row in session.scalars(select(PluginSetting).order_by(PluginSetting.plugin, PluginSetting.key)):
        try:
            text = row.value if row.sealed is None else secrets.unseal(row.sealed).decode("utf-8")
        except PostmeterError as error:
            log.error("plugins.%s.%s, set in the panel, cannot be read: %s", row.plugin, row.key, error)
        else:
            found.setdefault(row.plugin, {})[row.key] = json.loads(text)
    return found


def choose(
    session: Session, secrets: Secrets, plugin: str, values: Mapping[str, Any], secret: Collection[str], now: float
) -> None:
    """Set these keys of a plugin, sealed those that are ``secret``; the others stay as they are."""
    for key, value in values.items():
        text = json.dumps(value)
        sealed = secrets.seal(text.encode("utf-8")) if key in secret else None
        session.merge(PluginSetting(plugin=plugin, key=key, value="" if sealed else text, sealed=sealed, at=now))


def take_back(session: Session, plugin: str, key: str) -> bool:
    """Set a key of a plugin no longer; whether it was."""
    these = (PluginSetting.plugin == plugin, PluginSetting.key == key)
    return session.scalar(delete(PluginSetting).where(*these).returning(PluginSetting.key)) is not None
