"""The operator's accounts."""

from __future__ import annotations

from flask import Blueprint, abort, redirect, render_template, session, url_for
from flask.typing import ResponseReturnValue

from postmeter.errors import UsageError
from postmeter.store import accounts
from postmeter_web.access import VIEWING
from postmeter_web.context import changing, reading

blueprint = Blueprint("accounts", __name__)


@blueprint.get("/")
def show_all() -> ResponseReturnValue:
    """All accounts."""
    with reading() as db:
        return render_template("operator/accounts.html", accounts=accounts.accounts_of(db))


@blueprint.get("/<account:account>/")
def show(account: str) -> ResponseReturnValue:
    """One account as the operator sees it."""
    with reading() as db:
        try:
            found = accounts.account_facts(db, account)
        except UsageError:
            abort(404)
    return render_template("operator/account.html", account=found)


@blueprint.post("/<account:account>/view")
def view(account: str) -> ResponseReturnValue:
    """See the account as its customer does; the audit log tells of it."""
    with changing("account.view", account) as change:
        try:
            found = accounts.account_by_name(change.db, account)
        except UsageError:
            abort(404)
        change.account_id = found.id
    session[VIEWING] = found.id
    return redirect(url_for("dashboard.show", name=account))


@blueprint.post("/leave")
def leave() -> ResponseReturnValue:
    """See nobody's account any more."""
    session.pop(VIEWING, None)
    return redirect(url_for("accounts.show_all"))
