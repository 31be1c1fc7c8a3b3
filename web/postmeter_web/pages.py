"""The pages of plugins: below the account or for the operator, checked before any of their views, with a menu."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial

import pluggy
from flask import Flask, abort, current_app, g, request, url_for

from postmeter import Page
from postmeter.containment import contained
from postmeter.hooks import Plugins
from postmeter.threads import within
from postmeter_web.access import AccountLink, account_or_404
from postmeter_web.context import panel, visitor

log = logging.getLogger(__name__)

PATIENCE = 5.0  # seconds that a plugin has for its start and its pages
ACCOUNT, OPERATOR = "account", "operator"
PREFIXES = {ACCOUNT: "/accounts/<account:name>/{plugin}", OPERATOR: "/operator/{plugin}"}  # by place


@dataclass(frozen=True)
class Entry:
    """A line of a menu: its title and the endpoint it leads to."""

    title: str
    place: str
    endpoint: str


@dataclass(frozen=True)
class Offered:
    """What the plugins offer this application: the place of each of their blueprints (by name), and the menu."""

    places: dict[str, str] = field(default_factory=dict)
    menu: list[Entry] = field(default_factory=list)


@dataclass(frozen=True)
class Link:
    """An entry of the menu on a certain page; ``current``: it leads to this very page."""

    title: str
    url: str
    current: bool


def init_app(app: Flask, plugins: Plugins) -> None:
    """Register the pages of all plugins; the log says whose cannot be shown."""
    app.extensions["postmeter pages"] = offered = Offered()
    app.before_request(_check)
    app.jinja_env.globals["menu"] = menu
    for implementation in plugins.implementing("pages"):
        name = implementation.plugin_name
        try:
            for page in within(PATIENCE, f"pages of {name}", partial(_ask, plugins, implementation)):
                offered.menu.append(contained(_register, app, offered.places, name, page))
        except Exception as error:
            log.error("pages of the plugin %s are left out", name, exc_info=error)


def _ask(plugins: Plugins, implementation: pluggy.HookImpl) -> list[Page]:
    """In a thread of the plugin's: what it offers."""
    return list(plugins.call(implementation, {}) or ())


def menu() -> list[Link]:
    """The entries for the page that is being answered: of its account, else the operator's."""
    account: AccountLink | None = g.get("account")
    if account is not None:
        return _links(Entry("Overview", ACCOUNT, "overview.account"), account.name)
    return _links(Entry("Accounts", OPERATOR, "overview.home")) if visitor().operator else []


def _register(app: Flask, places: dict[str, str], plugin: str, page: Page) -> Entry:
    """Put a page into the application; two pages may share a blueprint."""
    blueprint, prefix = page.blueprint, PREFIXES[page.place].format(plugin=plugin)
    known = app.blueprints.get(blueprint.name)
    if known is None:
        places[blueprint.name] = page.place  # before its rules are there, so that none is unchecked
        app.register_blueprint(blueprint, url_prefix=prefix)
    elif known is not blueprint or places[blueprint.name] != page.place:
        raise ValueError(f"there is a blueprint {blueprint.name!r} already")
    entry = Entry(page.title, page.place, f"{blueprint.name}.{page.endpoint}")
    with app.test_request_context():  # a link that cannot be made would break the pages of others
        _url(entry, "any")
    return entry


def _check() -> None:
    """Before a view of a plugin: ``g.account`` is the account, when the visitor may see it; else 404."""
    places = _offered().places
    place = next((places[name] for name in request.blueprints if name in places), "")
    if place == OPERATOR and not visitor().operator:
        abort(404)
    if place == ACCOUNT:
        with panel().store.read() as db:
            g.account = account_or_404(db, visitor(), (request.view_args or {})["name"])


def _links(first: Entry, account: str = "") -> list[Link]:
    """The page that is always there and those of the plugins; nothing when there are none of these."""
    entries = [entry for entry in _offered().menu if entry.place == first.place]
    if entries:
        entries.insert(0, first)
    return [Link(one.title, _url(one, account), one.endpoint == request.endpoint) for one in entries]


def _url(entry: Entry, account: str) -> str:
    return url_for(entry.endpoint, name=account) if entry.place == ACCOUNT else url_for(entry.endpoint)


def _offered() -> Offered:
    offered: Offered = current_app.extensions["postmeter pages"]
    return offered
