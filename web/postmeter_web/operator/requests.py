"""Requests for access that wait for the operator: approved, they become accounts; declined, a mail says why."""

from __future__ import annotations

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from postmeter.errors import UsageError
from postmeter.store import access_requests
from postmeter.store.access_requests import Request
from postmeter.store.secrets import NewPassword
from postmeter_web.context import changing, now, panel, reading, visitor
from postmeter_web.person import letters
from postmeter_web.sentences import in_words

blueprint = Blueprint("requests", __name__)

MOST = 2_000  # characters of a reason


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """What was asked for and is not decided yet."""
    with reading() as db:
        found = access_requests.open_requests(db)
    return render_template("operator/requests.html", requests=found, now=now())


@blueprint.post("/<int:number>/approve")
def approve(number: int) -> ResponseReturnValue:
    """Make the account, under another name if so wished, and tell who asked."""
    _known(number)
    password, name = NewPassword.generate(), request.form.get("name", "").strip()
    who, settings, secrets = visitor().id, panel().settings, panel().secrets
    try:
        with changing("request.approve", str(number)) as change:
            made = access_requests.approve(change.db, secrets, settings, number, who, password, now(), name)
            letters.approved(change.db, made)
            change.account_id = made.account_id
            change.facts.update(account=made.account, email=made.email)
    except UsageError as error:
        flash(in_words(str(error)), "problem")
        return redirect(url_for(".show"))
    flash(gettext("The account %(name)s is there; %(email)s is told by mail.", name=made.account, email=made.email))
    return redirect(url_for("accounts.show", account=made.account))


@blueprint.post("/<int:number>/decline")
def decline(number: int) -> ResponseReturnValue:
    """Tell who asked that there will be no account."""
    _known(number)
    reason = request.form.get("reason", "").strip()
    if not 0 < len(reason) <= MOST:
        flash(gettext("Say why, in at most 2,000 characters: the reason is part of the mail."), "problem")
        return redirect(url_for(".show"))
    try:
        with changing("request.decline", str(number), reason=reason) as change:
            asked = access_requests.decline(change.db, number, visitor().id, now())
            letters.declined(change.db, asked, reason)
            change.facts.update(account=asked.name, email=asked.email)
    except UsageError as error:
        flash(in_words(str(error)), "problem")
    else:
        flash(gettext("The request is declined; %(email)s is told by mail.", email=asked.email))
    return redirect(url_for(".show"))


def _known(number: int) -> Request:
    with reading() as db:
        try:
            return access_requests.request_of(db, number)
        except UsageError:
            abort(404)
