"""The first page of an account: what arrived, was delivered and bounced, and why; the quota; the access."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, g, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from sqlalchemy.orm import Session

from postmeter.store import connections, overview, quota
from postmeter.store.overview import Bounce
from postmeter.store.quota import QuotaFacts
from postmeter.store.statistics import Share, Totals
from postmeter_web.access import own_pages
from postmeter_web.account.figures import Span, asked_span, mail_of, picture
from postmeter_web.account.reasons import why
from postmeter_web.context import now, panel, reading

blueprint = own_pages(Blueprint("dashboard", __name__))

MOST_ROWS = 10  # of a table
OTHER = "other"  # what statistics call the receiving providers that nobody has named


@dataclass(frozen=True)
class Row:
    """A line of a table: a connection, sending domain or receiving provider, and where its messages are found.

    ``url`` and ``bounced_url`` are empty where a search cannot tell them from others.
    """

    name: str
    url: str
    bounced_url: str
    totals: Totals


@dataclass(frozen=True)
class Table:
    """The lines with the most mail; ``more``: how many there are beyond."""

    name: str
    title: str
    rows: tuple[Row, ...]
    more: int


@dataclass(frozen=True)
class ToldBounce:
    """A bounce with its reason in a plain sentence."""

    facts: Bounce
    why: str


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """One account's mail, quota and connections."""
    return render_template("account/dashboard.html", **_facts())


@blueprint.get("/live")
def live() -> ResponseReturnValue:
    """The part of an account's page that changes."""
    return render_template("account/_dashboard.html", **_facts())


@blueprint.get("/chart.svg")
def chart() -> ResponseReturnValue:
    """The picture on it."""
    with reading() as db:
        mail = mail_of(db, g.account.id, asked_span())
    return picture(mail)


def _facts() -> dict[str, Any]:
    """What the templates show, read from one state of the database."""
    span = asked_span()
    with reading() as db:
        left = quota.quota_of(db, g.account.id, now())
        return {
            "account": g.account,
            "mail": mail_of(db, g.account.id, span),
            "tables": _tables(db, span),
            "bounces": _bounces(db),
            "quota": left,
            "low": is_low(left),
            "connections": connections.connections_of(db, g.account.id),
            "page": "dashboard",
            "now": now(),
        }


def is_low(quota: QuotaFacts) -> bool:
    """Whether so little is left that somebody should book a block."""
    return quota.left == 0 or quota.left < quota.threshold


def _bounces(db: Session) -> list[ToldBounce]:
    found = overview.last_bounces(db, g.account.id)
    return [ToldBounce(one, why(one.reply, one.stage, one.state)) for one in found]


def _tables(db: Session, span: Span) -> list[Table]:
    names = overview.connection_names(db, g.account.id)
    numbers = {name: number for number, name in names.items()}
    parts = panel().lately.parts(db, g.account.id, span.since, now())
    by_connection = [Share(names.get(one.of, ""), one.totals) for one in parts.connections]
    return [
        _table("connection", gettext("By connection"), by_connection, span, numbers),
        _table("domain", gettext("By sending domain"), parts.domains, span),
        _table("provider", gettext("By receiving provider"), parts.providers, span),
    ]


def _table(
    name: str, title: str, shares: Iterable[Share[str]], span: Span, values: dict[str, int] | None = None
) -> Table:
    """``values``: what the search for messages wants instead of the names."""
    ordered = sorted(shares, key=lambda share: (-share.totals.arrived, share.of))
    rows = tuple(_row(name, share, span, share.of if values is None else values.get(share.of, "")) for share in ordered)
    return Table(name, title, rows[:MOST_ROWS], len(rows[MOST_ROWS:]))


def _row(name: str, share: Share[str], span: Span, value: str | int) -> Row:
    if not value:
        return Row(_called(name, share.of), "", "", share.totals)
    found: dict[str, Any] = {name: value, "since": span.since_day}
    url, bounced = url_for("messages.show", **found), url_for("messages.show", **found, state="bounced")
    return Row(_called(name, share.of), url, bounced, share.totals)


def _called(name: str, of: str) -> str:
    """What people call it: some have no name."""
    if name == "provider" and of == OTHER:
        return str(gettext("Others"))
    nameless = {"provider": gettext("Not known"), "domain": gettext("Counted before there were domains")}
    return of or str(nameless.get(name, gettext("Unknown")))
