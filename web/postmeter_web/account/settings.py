"""An account's settings: its name, what is agreed, and whom to ask for what nobody can change here."""

from __future__ import annotations

from flask import Blueprint, flash, g, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from wtforms import StringField
from wtforms.validators import DataRequired, Length

from postmeter.errors import UsageError
from postmeter.store import accounts
from postmeter_web.access import OWN, needs, own_pages
from postmeter_web.account.quota_words import at_zero, hourly_limit
from postmeter_web.account.tariff import tariff_of
from postmeter_web.context import changing, panel, reading
from postmeter_web.forms import Form

blueprint = own_pages(Blueprint("settings", __name__))


class Name(Form):
    """Another name for the account."""

    name = StringField(lazy_gettext("Name"), [DataRequired(), Length(max=100)])


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """What there is to see and to change."""
    return _page(Name(name=g.account.name))


@blueprint.post("/name")
@needs(OWN)
def rename() -> ResponseReturnValue:
    """Give the account another name; its links change with it."""
    form = Name()
    if not form.validate_on_submit():
        return _page(form), 400
    try:
        with changing("account.rename", form.name.data.strip(), before=g.account.name) as change:
            name = accounts.rename_account(change.db, g.account.id, form.name.data)
    except UsageError as error:
        form.refuse(error)
        return _page(form), 400
    flash(gettext("The account has a new name. Links with the old one lead nowhere now."))
    return redirect(url_for(".show", name=name))


def _page(form: Name) -> str:
    settings = panel().settings
    tariff = tariff_of(g.account.id)
    with reading() as db:
        account = accounts.account_facts(db, g.account.id)
    return render_template(
        "account/settings.html",
        form=form,
        account=account,
        tariff=tariff,
        at_zero=at_zero(account, settings.overdraft, tariff),
        hourly_limit=hourly_limit(account, settings.demo),
        hostname=settings.hostname,
    )
