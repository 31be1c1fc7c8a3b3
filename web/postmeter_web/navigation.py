"""The menu beside the pages: of an account, by what the visitor's role may see, or of the operator."""

from __future__ import annotations

from dataclasses import dataclass, field

from flask import Flask, current_app, g, request, url_for
from flask_babel import gettext
from flask_login import current_user

from postmeter_web import access
from postmeter_web.access import MEMBER, VIEW, AccountLink
from postmeter_web.context import visitor


def N_(title: str) -> str:
    """Mark a title for translation."""
    return title


@dataclass(frozen=True)
class Entry:
    """A line of a menu: its title, the endpoint it leads to, and the right that one needs to see it.

    The pages of its blueprint, and of those that it names ``also``, belong to it.
    """

    title: str
    endpoint: str
    right: str = VIEW
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Link:
    """An entry on a certain page; ``current``: the page belongs to it."""

    title: str
    url: str
    current: bool


@dataclass
class Menus:
    """What there is to go to, by place; plugins add theirs before the last entries."""

    account: list[Entry] = field(
        default_factory=lambda: [
            Entry(N_("Dashboard"), "dashboard.show"),
            Entry(N_("Messages"), "messages.show"),
            Entry(N_("Connections"), "connections.show"),
            Entry(N_("Domains"), "domains.show"),
            Entry(N_("Suppressions"), "suppressions.show"),
            Entry(N_("Quota"), "quota.show", MEMBER),
        ]
    )
    account_end: tuple[Entry, ...] = (Entry(N_("Settings"), "settings.show"), Entry(N_("Team"), "team.show"))
    operator: list[Entry] = field(
        default_factory=lambda: [
            Entry(N_("Overview"), "home.show"),
            Entry(N_("Accounts"), "accounts.show_all", also=("requests",)),
            Entry(N_("Queue"), "queue.show"),
            Entry(N_("Providers"), "providers.show"),
            Entry(N_("Source addresses"), "sources.show"),
            Entry(N_("Health"), "health.show"),
            Entry(N_("Plugins"), "plugins.show"),
            Entry(N_("CSA self-check"), "csa.show"),
            Entry(N_("Audit log"), "audit.show"),
        ]
    )


def init_app(app: Flask) -> None:
    """Make the menu known to the templates of ``app``."""
    app.extensions["postmeter menus"] = Menus()
    app.jinja_env.globals["menu"] = menu


def add(app: Flask, place: str, entry: Entry) -> None:
    """An entry of a plugin's."""
    menus: Menus = app.extensions["postmeter menus"]
    (menus.account if place == access.ACCOUNT else menus.operator).append(entry)


def menu() -> list[Link]:
    """The entries for the page that is being answered: of its account, else the operator's."""
    menus: Menus = current_app.extensions["postmeter menus"]
    account: AccountLink | None = g.get("account")
    if account is not None:
        return [_link(entry) for entry in (*menus.account, *menus.account_end) if account.may(entry.right)]
    operator = current_user.is_authenticated and visitor().operator
    return [_link(entry) for entry in menus.operator] if operator else []


def _link(entry: Entry) -> Link:
    here = request.endpoint or ""
    current = here == entry.endpoint or (
        here.rpartition(".")[0] in (entry.endpoint.rpartition(".")[0], *entry.also) and not _leads_here(here)
    )
    return Link(gettext(entry.title), url_for(entry.endpoint), current)


def _leads_here(endpoint: str) -> bool:
    """Whether an entry of its own leads to the page."""
    menus: Menus = current_app.extensions["postmeter menus"]
    return any(entry.endpoint == endpoint for entry in (*menus.account, *menus.account_end, *menus.operator))
