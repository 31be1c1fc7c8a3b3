"""The first page of an account: what arrived, was delivered and bounced, the quota, the access."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, g, render_template
from flask.typing import ResponseReturnValue

from postmeter.config import address
from postmeter.store import connections, quota
from postmeter_web.access import own_pages
from postmeter_web.context import now, panel, reading
from postmeter_web.home import mail_of

blueprint = own_pages(Blueprint("dashboard", __name__))


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """One account's mail, quota and connections."""
    return render_template("account/dashboard.html", **_facts())


@blueprint.get("/live")
def live() -> ResponseReturnValue:
    """The part of an account's page that changes."""
    return render_template("account/_dashboard.html", **_facts())


def _facts() -> dict[str, Any]:
    """What the templates show, read from one state of the database."""
    with reading() as db:
        return {
            "account": g.account,
            "mail": mail_of(db, g.account.id),
            "quota": quota.quota_of(db, g.account.id, now()),
            "connections": connections.connections_of(db, g.account.id),
            "smallest_block": panel().settings.block.min,
            "access": _access(),
            "now": now(),
        }


def _access() -> str:
    """Where the customer's systems hand their mail over, in words."""
    smtp = panel().settings.smtp
    ports = [f"port {address('smtp.submission', text)[1]} (STARTTLS)" for text in smtp.submission]
    ports += [f"port {address('smtp.submissions', text)[1]} (TLS)" for text in smtp.submissions]
    return f"{panel().settings.hostname}, {' or '.join(ports)}"
