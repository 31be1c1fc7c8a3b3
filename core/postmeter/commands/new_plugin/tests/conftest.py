"""Postmeter's fixtures (bench, relay, shop, recipients ...), for this plugin."""

from __future__ import annotations

import pytest

pytest_plugins = ["postmeter.testing"]


@pytest.fixture(scope="session")
def plugin_name() -> str:
    """The name of the entry point."""
    return "yourplugin"
