"""An account's connections: which there are and how they do, and everything that can be changed about one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from wtforms import BooleanField, IntegerField, SelectChoice, SelectField, SelectMultipleField, StringField
from wtforms.validators import InputRequired, NumberRange, Optional

from postmeter.errors import UsageError
from postmeter.message.conduct import Figures
from postmeter.message.handling import PRIORITIES, Handling
from postmeter.message.handling import in_words as lifetime_in_words
from postmeter.quota.block import MOST_MAILS
from postmeter.store import accounts, conduct, connection_changes, connections, domains, handling, pauses
from postmeter.store.connections import MAX_REASON, Caps, ConnectionFacts
from postmeter_web.access import MANAGE, needs, own_pages
from postmeter_web.account import access_data, cards
from postmeter_web.account.access_data import Reveal, found, reveal, row, shown
from postmeter_web.context import Change, changing, now, panel, reading
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


class Delivery(Form):
    """How its messages are handled on their way out."""

    priority = SelectField(
        lazy_gettext("Priority"),
        choices=[
            SelectChoice("urgent", lazy_gettext("Urgent: before all others of the account")),
            SelectChoice("normal", lazy_gettext("Normal")),
            SelectChoice("bulk", lazy_gettext("Bulk: after all others")),
        ],
    )
    lifetime = StringField(
        lazy_gettext("Lifetime"),
        [Optional()],
        description=lazy_gettext("Such as 10m, 2h or 3d, up to 5 days; empty: as the operator has set it."),
        render_kw={"maxlength": 10},
    )
    tls = BooleanField(lazy_gettext("Only over encrypted connections"))

    @classmethod
    def showing(cls, shown: Handling) -> Delivery:
        """The form with what is set."""
        lifetime = lifetime_in_words(shown.lifetime) if shown.lifetime else ""
        return cls(formdata=None, priority=PRIORITIES[shown.priority], lifetime=lifetime, tls=shown.tls_required)


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


@blueprint.get("/<int:connection>/")
def one(connection: int) -> ResponseReturnValue:
    """One connection."""
    return _page(connection)


def _page(connection: int, **invalid: Form) -> ResponseReturnValue:
    """The page of a connection with its forms; ``invalid``: the one that was sent and has to be corrected."""
    facts, guard = found(connection), panel().settings.guard
    with reading() as db:
        own = [one.name for one in domains.domains_of(db, g.account.id)]
        since = now() - guard.days * conduct.DAY
        figures = sum(conduct.figures_of(db, g.account.id, connection, since).values(), Figures())
    forms = {
        "name": Name(formdata=None, name=facts.name, system=facts.system or cards.OTHER),
        "limits": Limits(formdata=None, **vars(facts.caps)),
        "delivery": Delivery.showing(facts.handling),
        "pause": Pause(formdata=None),
        "domains": Domains(formdata=None, domains=list(facts.domains)),
        **invalid,
    }
    forms["domains"].domains.choices = own
    data = shown(facts, system=request.args.get("system", ""))
    page = render_template("account/connection.html", **data, forms=forms, own=own, figures=figures, guard=guard)
    return page, 400 if invalid else 200


def _change(
    connection: int, action: str, form: Form, kind: str, work: Callable[[Change, Any], None], said: str
) -> ResponseReturnValue:
    """Do the work on the connection if the form is right, and say so; else show the page with what is wrong."""
    facts = found(connection)
    if form.validate_on_submit():
        try:
            with changing(action, facts.name) as change:
                work(change, row(change.db, connection, lock=True))
        except UsageError as error:
            form.refuse(error)
        else:
            flash(said)
            return redirect(url_for(".one", connection=connection))
    return _page(connection, **{kind: form})


@blueprint.post("/<int:connection>/name")
def rename(connection: int) -> ResponseReturnValue:
    """Call it something else."""
    form = Name()

    def work(change: Change, locked: Any) -> None:
        change.facts |= {"name": form.name.data, "system": form.system.data}
        connection_changes.rename(change.db, locked, form.name.data, form.system.data)

    return _change(connection, "connection.rename", form, "name", work, gettext("Saved. The user name stays as it is."))


@blueprint.post("/<int:connection>/domains")
def set_domains(connection: int) -> ResponseReturnValue:
    """Let it send from other domains."""
    form = Domains()
    with reading() as db:
        form.domains.choices = [one.name for one in domains.domains_of(db, g.account.id)]

    def work(change: Change, locked: Any) -> None:
        change.facts["domains"] = form.domains.data
        account = accounts.account_by_name(change.db, g.account.name)
        connection_changes.set_domains(change.db, account, locked, form.domains.data)

    return _change(connection, "connection.domains", form, "domains", work, gettext("It sends from these domains now."))


@blueprint.post("/<int:connection>/limits")
def limit(connection: int) -> ResponseReturnValue:
    """Limit how much it may submit."""
    form = Limits()

    def work(change: Change, locked: Any) -> None:
        caps = Caps(form.per_hour.data, form.per_day.data, form.per_month.data)
        change.facts |= vars(caps)
        connections.set_caps(change.db, locked, caps)

    return _change(connection, "connection.limit", form, "limits", work, gettext("The limits hold from now on."))


@blueprint.post("/<int:connection>/delivery")
def deliver(connection: int) -> ResponseReturnValue:
    """Say how its messages are handled."""
    form = Delivery()

    def work(change: Change, locked: Any) -> None:
        lifetime = handling.lifetime_of(form.lifetime.data or "0")
        wanted = Handling(handling.priority_of(form.priority.data), lifetime, form.tls.data)
        change.facts |= {"priority": form.priority.data, "lifetime": lifetime, "tls_required": wanted.tls_required}
        handling.set_handling(change.db, locked, wanted)

    said = gettext("Saved. It holds for what is handed over from now on.")
    return _change(connection, "connection.delivery", form, "delivery", work, said)


@blueprint.post("/<int:connection>/pause")
def pause(connection: int) -> ResponseReturnValue:
    """Take no mail of it."""
    form = Pause()

    def work(change: Change, locked: Any) -> None:
        change.facts["reason"] = form.reason.data
        account = accounts.account_by_name(change.db, g.account.name)
        pauses.pause(change.db, account, locked.name, form.reason.data, now())

    return _change(
        connection, "connection.pause", form, "pause", work, gettext("No mail is taken from it until you resume.")
    )


@blueprint.post("/<int:connection>/resume")
def resume(connection: int) -> ResponseReturnValue:
    """Take its mail again."""

    def work(change: Change, locked: Any) -> None:
        pauses.resume_one(change.db, locked, None, now(), "admin")

    return _change(connection, "connection.resume", Form(), "resume", work, gettext("Its mail is taken again."))


@blueprint.post("/<int:connection>/old-password")
def end_previous(connection: int) -> ResponseReturnValue:
    """End the overlap of two passwords."""

    def work(change: Change, locked: Any) -> None:
        connection_changes.end_previous(change.db, locked)

    said = gettext("The old password is not valid any more.")
    return _change(connection, "connection.end_old_secret", Form(), "end", work, said)


@blueprint.post("/<int:connection>/retire")
def retire(connection: int) -> ResponseReturnValue:
    """Give it up for ever."""
    try:
        with changing("connection.retire") as change:
            locked = row(change.db, connection, lock=True)
            change.subject = locked.name
            connection_changes.retire(change.db, locked, now())
    except UsageError as error:
        flash(in_words(str(error)), "problem")
        return redirect(url_for(".one", connection=connection))
    flash(gettext("The connection %(name)s is given up. Its messages stay.", name=change.subject))
    return redirect(url_for(".show"))


@blueprint.route("/<int:connection>/password", methods=["GET", "POST"])
@needs(MANAGE)
def renew(connection: int) -> ResponseReturnValue:
    """Make a new password; it is shown in the answer, and never again."""
    facts: ConnectionFacts = found(connection)
    if facts.revealed_at is None:
        return redirect(url_for("connect.go_on", connection=connection))
    form = Reveal()
    if form.validate_on_submit():
        try:
            password = reveal(connection, form, keep=form.keep.data)
            return render_template("account/connection_password.html", **shown(found(connection), password), form=form)
        except UsageError as error:
            flash(in_words(str(error)), "problem")
            return redirect(url_for(".renew", connection=connection))
    return render_template("account/connection_password.html", **shown(facts), form=access_data.new_form(connection))
