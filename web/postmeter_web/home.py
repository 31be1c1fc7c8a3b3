"""Where a visitor begins: the operator with all mail, who has one account right there, others with theirs to choose."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, abort, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from postmeter.store import statistics
from postmeter.store.statistics import Totals
from postmeter_web.access import VIEW, visible_accounts
from postmeter_web.account.chart import Bar, bars
from postmeter_web.context import now, reading, visitor

blueprint = Blueprint("home", __name__)

DAY = 86_400.0  # seconds


@dataclass(frozen=True)
class Mail:
    """What happened in the last 24 hours and ever since; only ``ever`` knows what is queued now."""

    day: Totals
    ever: Totals
    bars: list[Bar]


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """All accounts the visitor may see; who has just one goes straight there."""
    with reading() as db:
        found = visible_accounts(db, visitor())
        mail = mail_of(db, None) if visitor().operator else None
    if len(found) == 1 and mail is None:
        return redirect(url_for("dashboard.show" if found[0].may(VIEW) else "quota.show", name=found[0].name))
    return render_template("home.html", accounts=found, mail=mail, now=now())


@blueprint.get("/live")
def live() -> ResponseReturnValue:
    """The part of the operator's start page that changes."""
    if not visitor().operator:
        abort(404)
    with reading() as db:
        return render_template("_figures.html", mail=mail_of(db, None), now=now())


def mail_of(db: Session, account_id: int | None) -> Mail:
    """The figures of an account (None: of all)."""
    recent = statistics.buckets(db, account_id, now() - DAY)
    return Mail(statistics.totals(db, account_id, now() - DAY), statistics.totals(db, account_id), bars(recent, now()))
