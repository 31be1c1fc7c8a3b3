"""Where a visitor begins: the operator with all mail, who has one account right there, others with theirs to choose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_timezone
from sqlalchemy.orm import Session

from postmeter.store import overview
from postmeter.store.statistics import Share, Totals
from postmeter_web.access import VIEW, AccountLink, visible_accounts
from postmeter_web.account.figures import Span, asked_span, mail_of, picture
from postmeter_web.context import now, panel, reading, visitor

blueprint = Blueprint("home", __name__)

BUSIEST = 5  # accounts of each kind
ENOUGH = 50  # recipients of whom a bounce rate says something
PER_PAGE = 50  # accounts in the list


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """All accounts the visitor may see; who has just one goes straight there."""
    if visitor().operator:
        return _overview()
    with reading() as db:
        links = [(account.name, _first_page(account)) for account in visible_accounts(db, visitor())]
    if len(links) == 1:
        return redirect(links[0][1])
    return render_template("home.html", accounts=links)


@blueprint.get("/live")
def live() -> ResponseReturnValue:
    """The part of the operator's start page that changes."""
    _operators_only()
    with reading() as db:
        return render_template("operator/_overview.html", **_facts(db))


@blueprint.get("/chart.svg")
def chart() -> ResponseReturnValue:
    """The picture on it."""
    _operators_only()
    with reading() as db:
        mail = mail_of(db, None, asked_span())
    return picture(mail)


def _first_page(account: AccountLink) -> str:
    """Where a member of an account begins: on the first page that the role may see."""
    return url_for("dashboard.show" if account.may(VIEW) else "quota.show", name=account.name)


def _operators_only() -> None:
    if not visitor().operator:
        abort(404)


def _overview() -> str:
    find = request.args.get("find", "").strip()
    with reading() as db:
        names = overview.accounts_like(db, find, request.args.get("after", ""), PER_PAGE + 1)
        more = url_for("home.show", find=find or None, after=names[PER_PAGE - 1]) if len(names) > PER_PAGE else ""
        first = url_for("home.show", find=find or None) if "after" in request.args else ""
        listed = {"accounts": names[:PER_PAGE], "find": find, "more": more, "first": first}
        return render_template("operator/overview.html", **listed, **_facts(db))


def _facts(db: Session) -> dict[str, Any]:
    today = panel().lately.by_account(db, Span.of(1, now(), get_timezone()).since, now())
    busiest = sorted(today, key=lambda share: -share.totals.arrived)[:BUSIEST]
    bouncing = [share for share in today if share.totals.bounced and _ended(share.totals) >= ENOUGH]
    bouncing = sorted(bouncing, key=lambda share: -share.totals.bounced / _ended(share.totals))[:BUSIEST]
    names = overview.account_names(db, {share.of for share in (*busiest, *bouncing)})
    return {
        "mail": mail_of(db, None, asked_span()),
        "busiest": _named(busiest, names),
        "bouncing": _named(bouncing, names),
        "attention": overview.attention(db),
        "page": "home",
        "now": now(),
    }


def _ended(totals: Totals) -> int:
    return totals.delivered + totals.bounced


def _named(shares: Iterable[Share[int]], names: Mapping[int, str]) -> list[Share[str]]:
    """The relay's own mail belongs to no account that has a name."""
    return [Share(names[share.of], share.totals) for share in shares if share.of in names]
