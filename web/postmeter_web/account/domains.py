"""An account's sending domains: their records and what the DNS says of them, keys, List-Help."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, flash, g, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from wtforms import StringField
from wtforms.validators import InputRequired

from postmeter.errors import UsageError
from postmeter.message.signature import ED25519, RSA
from postmeter.store import accounts, domains, returning, rotation
from postmeter.store.domains import DomainFacts, NewKey
from postmeter_web.access import MANAGE, needs, own_pages
from postmeter_web.account import returns
from postmeter_web.account.published import record, see_domain
from postmeter_web.context import changing, now, panel, reading
from postmeter_web.forms import Form
from postmeter_web.sentences import in_words

_BARE = str.maketrans("", "", "<>")  # a List-Help as people enter it

blueprint = own_pages(Blueprint("domains", __name__))


class NewDomain(Form):
    """A domain to send from."""

    name = StringField(
        lazy_gettext("Domain"),
        [InputRequired()],
        description=lazy_gettext("What stands behind the @ in your senders' addresses, such as shop.example."),
    )
    list_help = StringField(
        lazy_gettext("Help for recipients (List-Help)"),
        [InputRequired()],
        description=lazy_gettext(
            "A page (https) or mail address that says why somebody gets these mails and how to end them. It stands in "
            "every mail; one page may serve many domains."
        ),
    )


class Help(Form):
    """Where recipients of a domain's mail find help."""

    list_help = StringField(lazy_gettext("Page (https) or mail address"), [InputRequired()])


class Returning(Form):
    """The name to which bounces come back."""

    return_path = StringField(
        lazy_gettext("Name below your domain"),
        description=lazy_gettext("Such as bounce.shop.example; empty: the relay's own domain."),
    )


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """All domains of the account."""
    with reading() as db:
        found, users = domains.domains_of(db, g.account.id), domains.users_of(db, g.account.id)
    return render_template("account/domains.html", domains=found, users=users, now=now())


@blueprint.route("/new", methods=["GET", "POST"])
@needs(MANAGE)
def add() -> ResponseReturnValue:
    """The form for another domain; its key is made with it."""
    form = NewDomain()
    if not form.validate_on_submit():
        return render_template("account/domain_new.html", form=form)
    try:
        name = domains.clean_domain(form.name.data)
        key = NewKey.generate(RSA)
        with changing("domain.add", name) as change:
            if domains.domain_of(change.db, g.account.id, name):
                raise UsageError(f"the account has the domain {name} already")
            account = accounts.account_by_name(change.db, g.account.name)
            domains.add_domain(change.db, panel().secrets, account, name, form.list_help.data, False, [key], now())
    except UsageError as error:
        form.refuse(error)
        return render_template("account/domain_new.html", form=form)
    return redirect(url_for("domains.one", domain=name))


@blueprint.get("/<domain>/")
def one(domain: str) -> ResponseReturnValue:
    """One domain: what to publish, and what the DNS says now."""
    return render_template("account/domain.html", **_facts(domain))


@blueprint.get("/<domain>/live")
def live(domain: str) -> ResponseReturnValue:
    """The part of a domain's page that changes."""
    return render_template("account/_domain.html", **_facts(domain))


@blueprint.post("/<domain>/look")
def look(domain: str) -> ResponseReturnValue:
    """Look at the DNS now; what is found counts."""
    facts = _domain(domain)
    seen, returned = see_domain(facts, fresh=0.0), returns.see(facts, fresh=0.0)
    if seen.unknown:
        flash(gettext("The DNS gives no answer at the moment. Nothing has changed; look again in a minute."), "problem")
        return _back(domain)
    with changing("domain.look", domain, new_keys=list(seen.verdict.ready)) as change:
        returns.record(change.db, facts, returned)
        change.facts["verified"] = record(change.db, facts, seen)
    if seen.verdict.ready:
        flash(gettext("The new key signs from now on."))
    elif not seen.verdict.problems:
        flash(gettext("The records are as they should be."))
    else:
        missing = gettext("Something is missing; the page says what. A new record may take an hour to be seen.")
        flash(missing, "problem")
    return _back(domain)


@blueprint.post("/<domain>/list-help")
def set_help(domain: str) -> ResponseReturnValue:
    """Change where recipients find help."""
    _domain(domain)
    form = Help()
    try:
        with changing("domain.list_help", domain, list_help=form.list_help.data) as change:
            domains.set_list_help(change.db, g.account.id, domain, form.list_help.data or "")
    except UsageError as error:
        flash(in_words(str(error)), "problem")
    else:
        flash(gettext("New mails have the new List-Help."))
    return _back(domain)


@blueprint.post("/<domain>/return-path")
def set_return_path(domain: str) -> ResponseReturnValue:
    """Change where bounces come back to."""
    _domain(domain)
    name = Returning().return_path.data or ""
    try:
        with changing("domain.return_path", domain, return_path=name) as change:
            kept = returning.set_return_path(change.db, g.account.id, domain, name, now())
    except UsageError as error:
        flash(in_words(str(error)), "problem")
        return _back(domain)
    if kept:
        flash(
            gettext("Publish the records. The name is used once they are found, for which the relay looks by itself.")
        )
    else:
        flash(gettext("Bounces come back to the relay's own domain."))
    return _back(domain)


@blueprint.post("/<domain>/keys/<any(rsa, ed25519):kind>")
def rotate(domain: str, kind: str) -> ResponseReturnValue:
    """Make a new key, which waits for its record."""
    _domain(domain)
    key = NewKey.generate(RSA if kind == "rsa" else ED25519)
    try:
        with changing("key.rotate", domain, selector=key.selector, algorithm=key.algorithm) as change:
            rotation.rotate(change.db, panel().secrets, g.account.id, domain, key, now())
    except UsageError as error:
        flash(in_words(str(error)), "problem")
    else:
        flash(gettext("Publish the record of the new key. It takes over by itself once the record is found."))
    return _back(domain)


@blueprint.post("/<domain>/keys/<selector>/cancel")
def cancel(domain: str, selector: str) -> ResponseReturnValue:
    """Forget a key that waits."""
    _domain(domain)
    try:
        with changing("key.cancel", domain, selector=selector) as change:
            rotation.cancel(change.db, g.account.id, domain, selector)
    except UsageError as error:
        flash(in_words(str(error)), "problem")
    else:
        flash(gettext("The new key is forgotten; the one before goes on."))
    return _back(domain)


@blueprint.post("/<domain>/remove")
def remove(domain: str) -> ResponseReturnValue:
    """Take the domain away, when no connection uses it."""
    _domain(domain)
    try:
        with changing("domain.remove", domain) as change:
            domains.remove_domain(change.db, g.account.id, domain)
    except UsageError as error:
        flash(in_words(str(error)), "problem")
        return _back(domain)
    flash(gettext("No mail is taken from %(domain)s any more.", domain=domain))
    return redirect(url_for("domains.show"))


def _domain(name: str) -> DomainFacts:
    with reading() as db:
        return domains.domain_of(db, g.account.id, name) or abort(404)


def _facts(name: str) -> dict[str, Any]:
    """What the templates show: from one state of the database, and from the DNS."""
    facts = _domain(name)
    with reading() as db:
        keys, users = rotation.keys_of(db, g.account.id, name), domains.users_of(db, g.account.id).get(name, ())
    return {
        "domain": facts,
        "keys": keys,
        "users": users,
        "seen": see_domain(facts),
        "returns": returns.offered(),
        "returned": returns.see(facts),
        "returning": Returning(return_path=facts.return_path),
        "help": Help(list_help=facts.list_help.translate(_BARE).replace("mailto:", "")),
        "now": now(),
    }


def _back(domain: str) -> ResponseReturnValue:
    return redirect(url_for("domains.one", domain=domain))
