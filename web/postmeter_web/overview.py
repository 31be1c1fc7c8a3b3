"""The first page of an account, and of all accounts: what arrived, was delivered and bounced, the quota, the access."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, abort, g, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from postmeter.config import address
from postmeter.store import connections, quota, statistics
from postmeter.store.statistics import Totals
from postmeter_web.access import account_or_404, visible_accounts
from postmeter_web.chart import Bar, bars
from postmeter_web.context import panel, visitor

blueprint = Blueprint("overview", __name__)

DAY = 86_400.0  # seconds


@dataclass(frozen=True)
class Mail:
    """What happened in the last 24 hours and ever since; only ``ever`` knows what is queued now."""

    day: Totals
    ever: Totals
    bars: list[Bar]


@blueprint.get("/")
def home() -> ResponseReturnValue:
    """All accounts the visitor may see; who has just one goes straight there."""
    now = panel().clock()
    with panel().store.read() as db:
        found = visible_accounts(db, visitor())
        mail = _mail(db, None, now) if visitor().operator else None
    if len(found) == 1 and mail is None:
        return redirect(url_for("overview.account", name=found[0].name))
    return render_template("accounts.html", accounts=found, mail=mail, now=now)


@blueprint.get("/live")
def home_live() -> ResponseReturnValue:
    """The part of the operator's start page that changes."""
    if not visitor().operator:
        abort(404)
    now = panel().clock()
    with panel().store.read() as db:
        return render_template("_mail.html", mail=_mail(db, None, now), now=now)


@blueprint.get("/accounts/<account:name>/")
def account(name: str) -> ResponseReturnValue:
    """One account's mail, quota and connections."""
    return render_template("account.html", **_account(name))


@blueprint.get("/accounts/<account:name>/live")
def account_live(name: str) -> ResponseReturnValue:
    """The part of an account's page that changes."""
    return render_template("_account.html", **_account(name))


def _account(name: str) -> dict[str, Any]:
    """What the templates of one account show, read from one state of the database."""
    now = panel().clock()
    with panel().store.read() as db:
        g.account = found = account_or_404(db, visitor(), name)
        return {
            "account": found,
            "mail": _mail(db, found.id, now),
            "quota": quota.quota_of(db, found.id, now),
            "connections": connections.connections_of(db, found.id),
            "smallest_block": panel().settings.block.min,
            "access": _access(),
            "now": now,
        }


def _mail(db: Session, account_id: int | None, now: float) -> Mail:
    recent = statistics.buckets(db, account_id, now - DAY)
    return Mail(statistics.totals(db, account_id, now - DAY), statistics.totals(db, account_id), bars(recent, now))


def _access() -> str:
    """Where the customer's systems hand their mail over, in words."""
    smtp = panel().settings.smtp
    ports = [f"port {address('smtp.submission', text)[1]} (STARTTLS)" for text in smtp.submission]
    ports += [f"port {address('smtp.submissions', text)[1]} (TLS)" for text in smtp.submissions]
    return f"{panel().settings.hostname}, {' or '.join(ports)}"
