"""Connecting a new system, step by step: name, sending domain, DNS records, access data, test mail.

Each step is kept in the database as a connection that is being set up, so it can be left and taken up again.
"""

from __future__ import annotations

import math
from typing import Any

from flask import Blueprint, abort, flash, g, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext, ngettext
from wtforms import BooleanField, EmailField, RadioField, SelectField, StringField
from wtforms.validators import InputRequired

from postmeter.errors import UsageError
from postmeter.message.signature import RSA
from postmeter.store import accounts, connection_changes, connections, domains, timeline, trial
from postmeter.store.connections import ConnectionFacts
from postmeter.store.domains import DomainFacts, NewKey
from postmeter_web.access import own_pages
from postmeter_web.account import access_data, cards, links
from postmeter_web.account.access_data import Reveal, found, reveal, row, shown
from postmeter_web.account.published import Seen, record, see_domain
from postmeter_web.context import changing, now, panel, reading, visitor
from postmeter_web.forms import Form
from postmeter_web.looks import FRESH
from postmeter_web.sentences import in_words

blueprint = own_pages(Blueprint("connect", __name__))

NEW = ""  # the choice of a domain that is not there yet
TOGETHER = 2  # domains that one request looks at: each may take seconds
LATE = 60.0  # seconds after which a mail that waits is worth a word


class Start(Form):
    """What the connection is for."""

    name = StringField(
        lazy_gettext("Name"),
        [InputRequired()],
        description=lazy_gettext("What you call it, such as Web shop. Only you see it."),
    )
    system = SelectField(
        lazy_gettext("System"),
        choices=cards.choices,
        default=cards.OTHER,
        description=lazy_gettext("You will see its settings with your values in them."),
    )


class Domain(Form):
    """Where its mail comes from, and where recipients find help."""

    domain = RadioField(lazy_gettext("Domain"), default=NEW)
    name = StringField(
        lazy_gettext("New domain"),
        description=lazy_gettext("What stands behind the @ in your senders' addresses, such as shop.example."),
    )
    list_help = StringField(
        lazy_gettext("Help for recipients (List-Help)"),
        description=lazy_gettext(
            "A page (https) or mail address that says why somebody gets these mails and how to end them. It stands in "
            "every mail; one page may serve many domains. Leave it empty to keep what a domain has."
        ),
    )
    anyway = BooleanField(lazy_gettext("Use this page although it cannot be reached now"))


class Trial(Form):
    """Who gets a test mail."""

    to = EmailField(lazy_gettext("Recipient"), [InputRequired()])


@blueprint.route("/", methods=["GET", "POST"])
def show() -> ResponseReturnValue:
    """The first step; and what was begun before."""
    form = Start()
    if form.validate_on_submit():
        try:
            with changing("connection.begin", form.name.data, system=form.system.data) as change:
                account = accounts.account_by_name(change.db, g.account.name)
                name, system = form.name.data, form.system.data
                number = connection_changes.draft(change.db, panel().secrets, account, name, system, now()).id
            return redirect(url_for(".choose_domain", connection=number))
        except UsageError as error:
            form.refuse(error)
    with reading() as db:
        begun = [one for one in connections.connections_of(db, g.account.id) if one.revealed_at is None]
    return render_template("account/connect.html", form=form, begun=begun, step=1, now=now())


@blueprint.get("/<int:connection>/")
def go_on(connection: int) -> ResponseReturnValue:
    """The step that comes next."""
    return redirect(url_for(_next(found(connection)), connection=connection))


def _next(facts: ConnectionFacts) -> str:
    if not facts.domains:
        return ".choose_domain"
    return ".records" if facts.revealed_at is None and facts.unverified else ".access"


@blueprint.route("/<int:connection>/domain", methods=["GET", "POST"])
def choose_domain(connection: int) -> ResponseReturnValue:
    """The second step; the domains of a connection that is set up are changed on its own page."""
    facts = found(connection)
    if facts.revealed_at is not None:
        return redirect(url_for("connections.one", connection=connection))
    with reading() as db:
        known = {one.name: one for one in domains.domains_of(db, g.account.id)}
    form = Domain(domain=next(iter(facts.domains or known), NEW))
    form.domain.choices = [*((name, name) for name in known), (NEW, gettext("A new domain"))]
    if form.validate_on_submit():
        try:
            if not (warning := _unreachable(form)):
                _take_domain(connection, form, known)
                return redirect(url_for(".records", connection=connection))
            form.list_help.errors = [*form.list_help.errors, warning]
        except UsageError as error:
            form.refuse(error)
    return render_template("account/connect_domain.html", form=form, connection=facts, known=known, step=2)


def _unreachable(form: Domain) -> str:
    """Why the page for help is doubtful, unless the visitor wants it as it is; UsageError when it cannot be one."""
    if form.anyway.data or not form.list_help.data:
        return ""
    try:
        return links.problem(form.list_help.data)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _take_domain(connection: int, form: Domain, known: dict[str, DomainFacts]) -> None:
    """Add the domain if it is new, with a key; change its List-Help if one is given; let the connection use it."""
    name = domains.clean_domain(form.name.data or form.domain.data or "")
    list_help = form.list_help.data or (known[name].list_help if name in known else "")
    if not list_help:
        raise UsageError(gettext("A new domain needs its help for recipients: a page (https) or a mail address."))
    keys = [] if name in known else [NewKey.generate(RSA)]
    with changing("connection.domain", domain=name, list_help=list_help) as change:
        locked = row(change.db, connection, lock=True)
        change.subject = locked.name
        account = accounts.account_by_name(change.db, g.account.name)
        domains.add_domain(change.db, panel().secrets, account, name, list_help, False, keys, now())
        connection_changes.set_domains(change.db, account, locked, [name])


@blueprint.get("/<int:connection>/dns")
def records(connection: int) -> ResponseReturnValue:
    """The third step: what to publish, and what the DNS says now."""
    return render_template("account/connect_dns.html", **_looked_at(connection), step=3)


@blueprint.get("/<int:connection>/dns/live")
def live_records(connection: int) -> ResponseReturnValue:
    """The part of it that changes."""
    return render_template("account/_connect_dns.html", **_looked_at(connection))


@blueprint.post("/<int:connection>/dns")
def look_now(connection: int) -> ResponseReturnValue:
    """Look at the DNS now."""
    facts = _looked_at(connection, fresh=0.0)["connection"]
    if facts.unverified:
        flash(gettext("Something is missing; the page says what. A new record may take an hour to be seen."), "problem")
    return redirect(url_for(".records", connection=connection))


def _looked_at(connection: int, fresh: float = FRESH) -> dict[str, Any]:
    """The domains that the connection waits for with what the DNS says; if that is right, they are verified."""
    facts = found(connection)
    if not facts.domains:
        abort(redirect(url_for(".choose_domain", connection=connection)))
    with reading() as db:
        own = [one for one in domains.domains_of(db, g.account.id) if one.name in facts.domains]
    waiting = [one for one in own if not one.verified] or own[:1]
    looked = [(one, see_domain(one, fresh=fresh)) for one in waiting[:TOGETHER]]
    verified = [_verify(one, seen) for one, seen in looked]
    return {"connection": found(connection) if any(verified) else facts, "looked": looked, "now": now()}


def _verify(facts: DomainFacts, seen: Seen) -> bool:
    """Whether the look has just verified the domain."""
    if facts.verified or seen.unknown or seen.verdict.problems:
        return False
    with changing("domain.look", facts.name, verified=True) as change:
        return record(change.db, facts, seen)


@blueprint.route("/<int:connection>/access", methods=["GET", "POST"])
def access(connection: int) -> ResponseReturnValue:
    """The fourth step: the access data, with the password once."""
    facts = found(connection)
    if facts.revealed_at is None and _next(facts) != ".access":
        return redirect(url_for(".go_on", connection=connection))
    form = Reveal(keep=0)
    if form.is_submitted() and form.validate():
        try:
            password = reveal(connection, form, keep=0)
            return render_template(
                "account/connect_access.html", **shown(found(connection), password), form=form, step=4
            )
        except UsageError as error:
            flash(in_words(str(error)), "problem")
            return redirect(url_for(".access", connection=connection))
    return render_template("account/connect_access.html", **shown(facts), form=access_data.new_form(connection), step=4)


@blueprint.route("/<int:connection>/test", methods=["GET", "POST"])
def test(connection: int) -> ResponseReturnValue:
    """The last step: a test mail through the connection."""
    facts = found(connection)
    form = Trial(to=visitor().email)
    if form.validate_on_submit():
        try:
            return redirect(url_for(".follow", connection=connection, message=_send(facts, form.to.data)))
        except UsageError as error:
            form.refuse(error)
    return render_template("account/connect_test.html", connection=facts, form=form, step=5)


def _send(facts: ConnectionFacts, to: str) -> str:
    wait = panel().throttle.attempt([f"test mails of account {g.account.id}"], now())
    if wait:
        minutes = math.ceil(wait / 60)
        raise UsageError(
            ngettext(
                "Enough test mails for now; send the next one in a minute.",
                "Enough test mails for now; send the next one in %(num)d minutes.",
                minutes,
            )
        )
    subject = gettext("Test mail of %(connection)s", connection=facts.name)
    text = gettext("This mail shows that the connection %(connection)s works.", connection=facts.name)
    with changing("connection.test", facts.name, to=to) as change:
        username = row(change.db, facts.id).username
        return trial.send(change.db, panel().settings, username, to, subject, f"{text}\n", now())


@blueprint.get("/<int:connection>/test/<message>")
def follow(connection: int, message: str) -> ResponseReturnValue:
    """What becomes of a test mail."""
    return render_template("account/connect_follow.html", **_followed(connection, message), step=5)


@blueprint.get("/<int:connection>/test/<message>/live")
def live_test(connection: int, message: str) -> ResponseReturnValue:
    """The part of it that changes."""
    return render_template("account/_connect_follow.html", **_followed(connection, message))


def _followed(connection: int, message: str) -> dict[str, Any]:
    facts = found(connection)
    with reading() as db:
        mail = timeline.message_facts(db, message, g.account.id)
    if mail is None or mail.connection_id != facts.id:
        abort(404)
    return {"connection": facts, "mail": mail, "recipient": mail.recipients[0], "late": LATE, "now": now()}
