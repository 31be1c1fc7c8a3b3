"""An account's connections: which there are and how they do, and everything that can be changed about one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from wtforms import IntegerField, SelectField, SelectMultipleField, StringField
from wtforms.validators import InputRequired, NumberRange

from postmeter.errors import UsageError
from postmeter.quota.block import MOST_MAILS
from postmeter.store import accounts, connection_changes, connections, domains
from postmeter.store.connections import MAX_REASON, Caps, ConnectionFacts
from postmeter_web.access import MANAGE, needs, own_pages
from postmeter_web.account import access_data, cards
from postmeter_web.account.access_data import Reveal, found, reveal, row, shown
from postmeter_web.context import Change, changing, now, reading
from postmeter_web.forms import Form
from postmeter_web.sentences import in_words

blueprint = own_pages(Blueprint("connections", __name__))


def _cap(label: str) -> IntegerField:
    return IntegerField(label, [InputRequired(), NumberRange(0, MOST_MAILS)], render_kw={"min": 0})


class Name(Form):
    """What the connection is called, and what connects by it."""

    name = StringField(lazy_gettext("Name"), [InputRequired()])
    system = SelectField(lazy_gettext("System"), choices=cards.choices)


class Limits(Form):
    """How many recipients it may submit."""

    per_hour = _cap(lazy_gettext("Per hour"))
    per_day = _cap(lazy_gettext("Per day"))
    per_month = _cap(lazy_gettext("Per month"))


class Pause(Form):
    """Why it is off."""

    reason = StringField(
        lazy_gettext("Reason"),
        [InputRequired()],
        description=lazy_gettext("The system is told when it logs in, and the account's admins by mail."),
        render_kw={"maxlength": MAX_REASON},
    )


class Domains(Form):
    """From which domains it may send."""

    domains = SelectMultipleField(lazy_gettext("Domains"))


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """All connections of the account."""
    with reading() as db:
        everything = connections.connections_of(db, g.account.id)
    return render_template("account/connections.html", connections=everything, now=now())


@blueprint.get("/<int:number>/")
def one(number: int) -> ResponseReturnValue:
    """One connection."""
    return _page(number)


def _page(number: int, **invalid: Form) -> ResponseReturnValue:
    """The page of a connection with its forms; ``invalid``: the one that was sent and has to be corrected."""
    facts = found(number)
    with reading() as db:
        own = [one.name for one in domains.domains_of(db, g.account.id)]
    forms = {
        "name": Name(formdata=None, name=facts.name, system=facts.system or cards.OTHER),
        "limits": Limits(formdata=None, **vars(facts.caps)),
        "pause": Pause(formdata=None),
        "domains": Domains(formdata=None, domains=list(facts.domains)),
        **invalid,
    }
    forms["domains"].domains.choices = own
    data = shown(facts, system=request.args.get("system", ""))
    page = render_template("account/connection.html", **data, forms=forms, own=own)
    return page, 400 if invalid else 200


def _change(
    number: int, action: str, form: Form, kind: str, work: Callable[[Change, Any], None], said: str
) -> ResponseReturnValue:
    """Do the work on the connection if the form is right, and say so; else show the page with what is wrong."""
    facts = found(number)
    if form.validate_on_submit():
        try:
            with changing(action, facts.name) as change:
                work(change, row(change.db, number, lock=True))
        except UsageError as error:
            form.refuse(error)
        else:
            flash(said)
            return redirect(url_for(".one", number=number))
    return _page(number, **{kind: form})


@blueprint.post("/<int:number>/name")
def rename(number: int) -> ResponseReturnValue:
    """Call it something else."""
    form = Name()

    def work(change: Change, connection: Any) -> None:
        change.facts |= {"name": form.name.data, "system": form.system.data}
        connection_changes.rename(change.db, connection, form.name.data, form.system.data)

    return _change(number, "connection.rename", form, "name", work, gettext("Saved. The user name stays as it is."))


@blueprint.post("/<int:number>/domains")
def set_domains(number: int) -> ResponseReturnValue:
    """Let it send from other domains."""
    form = Domains()
    with reading() as db:
        form.domains.choices = [one.name for one in domains.domains_of(db, g.account.id)]

    def work(change: Change, connection: Any) -> None:
        change.facts["domains"] = form.domains.data
        account = accounts.account_by_name(change.db, g.account.name)
        connection_changes.set_domains(change.db, account, connection, form.domains.data)

    return _change(number, "connection.domains", form, "domains", work, gettext("It sends from these domains now."))


@blueprint.post("/<int:number>/limits")
def limit(number: int) -> ResponseReturnValue:
    """Limit how much it may submit."""
    form = Limits()

    def work(change: Change, connection: Any) -> None:
        caps = Caps(form.per_hour.data, form.per_day.data, form.per_month.data)
        change.facts |= vars(caps)
        connections.set_caps(change.db, connection, caps)

    return _change(number, "connection.limit", form, "limits", work, gettext("The limits hold from now on."))


@blueprint.post("/<int:number>/pause")
def pause(number: int) -> ResponseReturnValue:
    """Take no mail of it."""
    form = Pause()

    def work(change: Change, connection: Any) -> None:
        change.facts["reason"] = form.reason.data
        account = accounts.account_by_name(change.db, g.account.name)
        connections.pause(change.db, account, connection.name, form.reason.data, now())

    return _change(
        number, "connection.pause", form, "pause", work, gettext("No mail is taken from it until you resume.")
    )


@blueprint.post("/<int:number>/resume")
def resume(number: int) -> ResponseReturnValue:
    """Take its mail again."""

    def work(change: Change, connection: Any) -> None:
        account = accounts.account_by_name(change.db, g.account.name)
        connections.resume(change.db, account, connection.name, now())

    return _change(number, "connection.resume", Form(), "resume", work, gettext("Its mail is taken again."))


@blueprint.post("/<int:number>/old-password")
def end_previous(number: int) -> ResponseReturnValue:
    """End the overlap of two passwords."""

    def work(change: Change, connection: Any) -> None:
        connection_changes.end_previous(change.db, connection)

    said = gettext("The old password is not valid any more.")
    return _change(number, "connection.end_old_secret", Form(), "end", work, said)


@blueprint.post("/<int:number>/retire")
def retire(number: int) -> ResponseReturnValue:
    """Give it up for ever."""
    with changing("connection.retire") as change:
        connection = row(change.db, number, lock=True)
        change.subject = connection.name
        connection_changes.retire(change.db, connection, now())
    flash(gettext("The connection %(name)s is given up. Its messages stay.", name=change.subject))
    return redirect(url_for(".show"))


@blueprint.route("/<int:number>/password", methods=["GET", "POST"])
@needs(MANAGE)
def renew(number: int) -> ResponseReturnValue:
    """Make a new password; it is shown in the answer, and never again."""
    facts: ConnectionFacts = found(number)
    if facts.revealed_at is None:
        return redirect(url_for("connect.go_on", number=number))
    form = Reveal()
    if form.validate_on_submit():
        try:
            password = reveal(number, form, keep=form.keep.data)
            return render_template("account/connection_password.html", **shown(found(number), password), form=form)
        except UsageError as error:
            flash(in_words(str(error)), "problem")
            return redirect(url_for(".renew", number=number))
    return render_template("account/connection_password.html", **shown(facts), form=access_data.new_form(number))
