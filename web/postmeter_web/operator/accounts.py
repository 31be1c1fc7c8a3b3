"""The operator's accounts: all of them, a new one, and the terms, members, access and quota of each."""

from __future__ import annotations

from typing import Any

import attrs
from flask import Blueprint, abort, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from sqlalchemy.orm import Session
from wtforms import BooleanField, IntegerField, SelectChoice, SelectField, StringField
from wtforms.validators import InputRequired, NumberRange, Optional

from postmeter.errors import UsageError
from postmeter.quota.block import MOST_MAILS
from postmeter.store import access_requests, account_list, accounts, audit, connections, domains, pauses, quota, terms
from postmeter.store.accounts import AccountFacts, AddedAccount
from postmeter.store.queue_filter import Filter
from postmeter.store.secrets import NewPassword
from postmeter_web.access import VIEWING
from postmeter_web.context import changing, now, panel, reading
from postmeter_web.forms import Form, Once
from postmeter_web.operator.day import midnight
from postmeter_web.sentences import in_words

blueprint = Blueprint("accounts", __name__)

PAGE = 50  # accounts
CHANGES = 10  # of the audit log on the page of an account
KINDS = {
    "": lazy_gettext("All"),
    account_list.BLOCKED: lazy_gettext("Blocked"),
    account_list.OVERDRAWN: lazy_gettext("With overdraft"),
    account_list.AGREEMENT: lazy_gettext("With billing agreement"),
    account_list.TRIAL: lazy_gettext("Without a paid block"),
}


class New(Form):
    """An account to be made."""

    name = StringField(lazy_gettext("Name of the account"), [InputRequired()])
    owner = StringField(lazy_gettext("E-mail address of the owner"), [InputRequired()])
    agreement = BooleanField(lazy_gettext("Has a billing agreement: may send beyond the quota and is invoiced"))
    demo = BooleanField(lazy_gettext("Gets the demo quota"), default=True)


class Terms(Form):
    """What is agreed with an account; an empty cap: as the settings say."""

    agreement = BooleanField(lazy_gettext("Billing agreement"))
    policy = SelectField(
        lazy_gettext("May send beyond the quota"),
        choices=[
            SelectChoice("", lazy_gettext("as the settings say")),
            SelectChoice("agreement", lazy_gettext("with a billing agreement")),
            SelectChoice("always", lazy_gettext("always")),
            SelectChoice("never", lazy_gettext("never")),
        ],
    )
    cap = IntegerField(lazy_gettext("At most so many mails beyond it"), [Optional(), NumberRange(0, MOST_MAILS)])
    threshold = IntegerField(lazy_gettext("Notice when fewer mails are left than"), [NumberRange(0, MOST_MAILS)])


class Order(Once):
    """A block to be booked for an account."""

    size = IntegerField(lazy_gettext("Mails"), [InputRequired()])
    renews = BooleanField(lazy_gettext("Book it again whenever it ends"), default=True)


class Reason(Form):
    """Why an account may not send."""

    reason = StringField(lazy_gettext("Reason (whoever tries to send is told)"), [InputRequired()])


@blueprint.get("/")
def show_all() -> ResponseReturnValue:
    """All accounts, a page of them at a time."""
    find, kind, after = (request.args.get(name, "")[:100].strip() for name in ("find", "kind", "after"))
    kind = kind if kind in KINDS else ""
    with reading() as db:
        found = account_list.page(db, now(), midnight(), find=find, kind=kind, after=after, limit=PAGE + 1)
        number = account_list.number_of(db, find, kind)
        requests = len(access_requests.open_requests(db))
    chosen: dict[str, Any] = {"find": find or None, "kind": kind or None}
    return render_template(
        "operator/accounts.html",
        accounts=found[:PAGE],
        number=number,
        requests=requests,
        kinds=KINDS,
        find=find,
        kind=kind,
        newer=url_for(".show_all", **chosen) if after else "",
        older=url_for(".show_all", **chosen, after=found[PAGE - 1].name) if len(found) > PAGE else "",
    )


@blueprint.get("/new")
def new() -> ResponseReturnValue:
    """The form for another account."""
    return render_template("operator/account_new.html", form=New(), demo=panel().settings.demo)


@blueprint.post("/new")
def add() -> ResponseReturnValue:
    """Make it; the owner's initial password is shown once."""
    form = New()
    if form.validate_on_submit():
        try:
            return render_template("operator/account_added.html", added=_add(form), link=panel().settings.web.url)
        except UsageError as error:
            form.refuse(error)
    return render_template("operator/account_new.html", form=form, demo=panel().settings.demo), 400


def _add(form: New) -> AddedAccount:
    password, settings = NewPassword.generate(), panel().settings
    if not form.demo.data:
        settings = attrs.evolve(settings, demo=attrs.evolve(settings.demo, size=0))
    facts = {"agreement": form.agreement.data, "demo": form.demo.data}
    with changing("account.add", form.name.data.strip(), **facts) as change:
        added = accounts.add_account(
            change.db, form.name.data, form.owner.data, form.agreement.data, settings, password, now()
        )
        change.account_id, change.facts["owner"] = added.account_id, added.owner
    return added


@blueprint.get("/<account:account>/")
def show(account: str) -> ResponseReturnValue:
    """One account as the operator sees it."""
    return _page(account)


def _page(account: str, **forms: Form) -> str:
    with reading() as db:
        found = _found(db, account)
        facts: dict[str, Any] = {
            "connections": connections.connections_of(db, found.id),
            "domains": domains.domains_of(db, found.id),
            "quota": quota.quota_of(db, found.id, now()),
            "changes": audit.entries(db, found.id, limit=CHANGES),
        }
    policy = "" if found.overdraft_policy == "default" else found.overdraft_policy
    agreed = {"agreement": found.agreement, "policy": policy, "threshold": found.threshold}
    every: dict[str, Form] = {
        "terms": Terms(formdata=None, data={**agreed, "cap": found.overdraft_cap}),
        "order": Order(formdata=None, data={"size": panel().settings.block.min, "renews": True}),
        "reason": Reason(formdata=None),
    }
    waiting = str(Filter((("account", found.name),)))
    settings = panel().settings
    return render_template(
        "operator/account.html",
        account=found,
        settings=settings,
        now=now(),
        waiting=waiting,
        **facts,
        **{**every, **forms},
    )


@blueprint.post("/<account:account>/terms")
def set_terms(account: str) -> ResponseReturnValue:
    """Agree on other terms."""
    form = Terms()
    if not form.validate_on_submit():
        return _page(account, terms=form), 400
    agreed: terms.Terms = {
        "agreement": form.agreement.data,
        "overdraft_policy": form.policy.data,
        "overdraft_cap": form.cap.data,
        "threshold": form.threshold.data,
    }
    with changing("account.terms", account, **agreed) as change:
        change.account_id = _found(change.db, account).id
        terms.set_terms(change.db, change.account_id, now(), **agreed)
    flash(gettext("The terms are changed."))
    return redirect(url_for(".show", account=account))


@blueprint.post("/<account:account>/book")
def book(account: str) -> ResponseReturnValue:
    """Book a block for the account, once however often the form is sent."""
    form = Order()
    if form.validate_on_submit():
        try:
            with changing("quota.book", account, size=form.size.data, renews=form.renews.data) as change:
                change.account_id = _found(change.db, account).id
                _book(change.db, change.account_id, form)
        except UsageError as error:
            form.refuse(error)
        else:
            flash(gettext("The block is booked."))
            return redirect(url_for(".show", account=account))
    return _page(account, order=form), 400


def _book(db: Session, account_id: int, form: Order) -> None:
    settings = panel().settings.block
    quota.book_block(
        db, account_id, form.size.data, settings, now(), renews=form.renews.data, request=form.request.data[:64]
    )


@blueprint.post("/<account:account>/block")
def block(account: str) -> ResponseReturnValue:
    """Let the account send nothing more."""
    form = Reason()
    if form.validate_on_submit():
        try:
            with changing("account.block", account, reason=form.reason.data) as change:
                change.account_id = _found(change.db, account).id
                terms.block(change.db, change.account_id, form.reason.data, now())
        except UsageError as error:
            form.refuse(error)
        else:
            flash(gettext("The account is suspended: its log-ins and messages are refused."))
            return redirect(url_for(".show", account=account))
    return _page(account, reason=form), 400


@blueprint.post("/<account:account>/unblock")
def unblock(account: str) -> ResponseReturnValue:
    """Take the account's mail again."""
    with changing("account.unblock", account) as change:
        change.account_id = _found(change.db, account).id
        terms.unblock(change.db, change.account_id, now())
    flash(gettext("The account may send again."))
    return redirect(url_for(".show", account=account))


@blueprint.post("/<account:account>/connections/<int:connection>/resume")
def resume(account: str, connection: int) -> ResponseReturnValue:
    """Take the mail of one of its connections again that is paused."""
    with reading() as db:
        found = connections.connection_by_id(db, _found(db, account).id, connection) or abort(404)
        waits = pauses.what_waits(db, found, now())
    try:
        with changing("connection.resume") as change:
            change.account_id = _found(change.db, account).id
            paused = connections.connection_by_id(change.db, change.account_id, connection, lock=True) or abort(404)
            change.subject = paused.name
            pauses.resume_one(change.db, paused, waits, now(), "operator")
    except UsageError as error:  # the guard has paused it meanwhile
        flash(in_words(str(error)), "problem")
    else:
        flash(gettext("Its mail is taken again."))
    return redirect(url_for(".show", account=account))


@blueprint.post("/<account:account>/view")
def view(account: str) -> ResponseReturnValue:
    """See the account as its customer does; the audit log tells of it."""
    with changing("account.view", account) as change:
        change.account_id = _found(change.db, account).id
    session[VIEWING] = change.account_id
    return redirect(url_for("dashboard.show", name=account))


@blueprint.post("/leave")
def leave() -> ResponseReturnValue:
    """See nobody's account any more."""
    session.pop(VIEWING, None)
    return redirect(url_for("accounts.show_all"))


def _found(db: Session, account: str) -> AccountFacts:
    try:
        return accounts.account_facts(db, account)
    except UsageError:
        abort(404)
