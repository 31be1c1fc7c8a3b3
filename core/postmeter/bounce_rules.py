"""The classifier that the settings ask for: the operator's own rules, and how long addresses are not tried."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from postmeter.config import Delivery
from postmeter.errors import ConfigError
from postmeter.message.bounce import DAY, Classifier


def classifier(delivery: Delivery) -> Classifier:
    """Made for one process when it starts; ConfigError says what is wrong with the file of rules."""
    try:
        return Classifier(_tables(delivery.bounce_rules), delivery.suppress_days * DAY)
    except ValueError as error:
        raise ConfigError(f"delivery.bounce_rules: {delivery.bounce_rules}: {error}") from None


def _tables(path: str) -> dict[str, Any]:
    """ValueError when it is no TOML."""
    if not path:
        return {}
    try:
        return tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"delivery.bounce_rules: {path} cannot be read: {error.strerror}") from None
