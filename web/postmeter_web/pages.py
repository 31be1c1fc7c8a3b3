"""The pages of plugins: below the account or for the operator, checked before any of their views, with a menu entry."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pluggy
from flask import Flask, url_for

from postmeter import Page
from postmeter.containment import contained
from postmeter.hooks import Plugins
from postmeter.threads import within
from postmeter_web import access, navigation
from postmeter_web.access import ACCOUNT, OPERATOR, RIGHTS, Place
from postmeter_web.navigation import Entry

log = logging.getLogger(__name__)

PATIENCE = 20.0  # seconds that a plugin has for its start and its pages; a machine that has just started is busy
_ANY: dict[str, dict[str, Any]] = {ACCOUNT: {"name": "any"}, OPERATOR: {}}
PREFIXES = {ACCOUNT: "/{plugin}", OPERATOR: "/operator/{plugin}"}  # by place


def packages(plugins: Plugins) -> Iterator[Path]:
    """The folders of plugins with pages, for their translations."""
    for implementation in plugins.implementing("pages"):
        plugin = implementation.plugin
        module = sys.modules.get(plugin.__name__ if hasattr(plugin, "__name__") else type(plugin).__module__)
        if file := getattr(module, "__file__", None):
            yield Path(file).parent


def init_app(app: Flask, plugins: Plugins) -> None:
    """Register the pages of all plugins; the log says whose cannot be shown."""
    for implementation in plugins.implementing("pages"):
        name = implementation.plugin_name
        try:
            for page in within(PATIENCE, f"pages of {name}", partial(_ask, plugins, implementation)):
                contained(_register, app, name, page)
        except Exception as error:
            log.error("pages of the plugin %s are left out", name, exc_info=error)


def _ask(plugins: Plugins, implementation: pluggy.HookImpl) -> list[Page]:
    """In a thread of the plugin's: what it offers."""
    return list(plugins.call(implementation, {}) or ())


def _register(app: Flask, plugin: str, page: Page) -> None:
    """Put a page into the application; two pages may share a blueprint."""
    if {page.reads, page.changes} - RIGHTS["owner"]:
        raise ValueError(f"there are the rights {', '.join(sorted(RIGHTS['owner']))}")
    blueprint, prefix = page.blueprint, PREFIXES[page.place].format(plugin=plugin)
    where = Place(page.place, page.reads, page.changes)
    known = app.blueprints.get(blueprint.name)
    if known is None:
        access.place(app, blueprint, where, prefix)
    elif known is not blueprint or access.place_of(app, blueprint.name) != where:
        raise ValueError(f"there is a blueprint {blueprint.name!r} already")
    entry = Entry(page.title, f"{blueprint.name}.{page.endpoint}", page.reads)
    with app.test_request_context():  # a link that cannot be made would break the pages of others
        url_for(entry.endpoint, **_ANY[page.place])
    navigation.add(app, page.place, entry)
