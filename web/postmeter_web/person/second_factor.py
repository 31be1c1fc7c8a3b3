"""The second factor in the profile: set up with a picture for the app, recovery codes shown once, turned off."""

from __future__ import annotations

import base64

import segno
from flask import Blueprint, abort, flash, redirect, render_template, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from wtforms import StringField
from wtforms.validators import InputRequired, Length

from postmeter.errors import PostmeterError, UsageError
from postmeter.store import second_factors
from postmeter_web.context import changing, now, panel, reading, visitor
from postmeter_web.forms import Form
from postmeter_web.person import guard, letters, sessions
from postmeter_web.person.guard import Denied
from postmeter_web.person.profile import own_password

blueprint = Blueprint("second_factor", __name__)

OFFERED = "offered"  # in the session: the sealed secret that the app is to learn


def code_field() -> StringField:
    """A field for a code."""
    return StringField(
        lazy_gettext("Code from the app"),
        [InputRequired(), Length(max=40)],
        render_kw={"autocomplete": "one-time-code", "autocapitalize": "none", "spellcheck": "false"},
    )


class CodeForm(Form):
    """Password and code."""

    code = code_field()
    password = own_password()


class CodesForm(Form):
    """The password."""

    password = own_password()


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """What is set up; or the picture and the secret for the app, until a code proves that it knows them."""
    return _page(CodeForm())


@blueprint.post("/")
def set_up() -> ResponseReturnValue:
    """Ask for codes from now on; the answer has the recovery codes, and only this one."""
    form, me, secret = CodeForm(), visitor(), _offered()
    if me.second_factor or not secret:
        return redirect(url_for("second_factor.show"))
    if not form.validate_on_submit():
        return _page(form, 400)
    try:
        guard.check_password(me.email, form.password.data)
        with guard.code_attempt(me.id), changing("user.second_factor", me.email) as change:
            codes = second_factors.set_up(change.db, panel().secrets, me.id, secret, form.code.data, now())
            sessions.end_others(change.db)
            letters.changed(change.db, me.email, me.language)
    except Denied as denied:
        return _page(form, denied.status, _of_password(denied))
    except UsageError as error:
        form.refuse(error)
        return _page(form, 400, form.problem)
    session.pop(OFFERED)
    return render_template("person/recovery_codes.html", codes=codes, first=True)


@blueprint.post("/codes")
def new_codes() -> ResponseReturnValue:
    """New recovery codes instead of the old ones, shown once."""
    form, me = CodesForm(), visitor()
    if not me.second_factor:
        abort(404)
    try:
        if not form.validate_on_submit():
            raise Denied(gettext("Give your password for this."), 400)
        guard.check_password(me.email, form.password.data)
    except Denied as denied:
        return _page(CodeForm(formdata=None), denied.status, _of_password(denied))
    with changing("user.recovery_codes", me.email) as change:
        codes = second_factors.new_codes(change.db, panel().secrets, me.id)
    return render_template("person/recovery_codes.html", codes=codes, first=False)


@blueprint.post("/off")
def turn_off() -> ResponseReturnValue:
    """Ask for the password only from now on; not where the settings want a second factor."""
    form, me = CodeForm(), visitor()
    if not me.second_factor or guard.must_have_second_factor(me):
        abort(404)
    try:
        if not form.validate_on_submit():
            raise Denied(gettext("Give a code and your password for this."), 400)
        guard.check_password(me.email, form.password.data)
        with guard.code_attempt(me.id), changing("user.second_factor_off", me.email) as change:
            guard.use_code(change, me.id, form.code.data)
            second_factors.turn_off(change.db, me.id)
            sessions.end_others(change.db)
            letters.changed(change.db, me.email, me.language)
    except Denied as denied:
        return _page(CodeForm(formdata=None), denied.status, _of_password(denied))
    flash(gettext("The second factor is turned off. You are logged out everywhere else."))
    return redirect(url_for("profile.show"))


def _page(form: CodeForm, status: int = 200, problem: str = "") -> ResponseReturnValue:
    form.problem = problem
    me = visitor()
    must = guard.must_have_second_factor(me)
    if me.second_factor:
        with reading() as db:
            left = second_factors.codes_left(db, me.id)
        own = {"off": form, "codes": CodesForm(formdata=None), "left": left}
        return render_template("person/second_factor.html", must=must, **own), status
    secret = _offered() or _offer()
    address = second_factors.address_of(secret, me.email, panel().settings.hostname)
    picture = segno.make(address, error="m", micro=False).svg_data_uri(scale=5, border=4, light="#fff")
    grouped = " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
    return render_template("person/set_up.html", form=form, must=must, picture=picture, secret=grouped), status


def _offer() -> str:
    """A new secret, kept with the visitor until a code of it comes."""
    secret = second_factors.new_secret()
    session[OFFERED] = base64.b64encode(panel().secrets.seal(secret.encode())).decode()
    return secret


def _offered() -> str:
    """The secret that the visitor was shown; empty: none."""
    try:
        return panel().secrets.unseal(base64.b64decode(session.get(OFFERED, ""))).decode()
    except (PostmeterError, ValueError):
        return ""


def _of_password(denied: Denied) -> str:
    """The same sentence, for who has typed no e-mail address."""
    return gettext("This is not your password.") if str(denied) == str(guard.WRONG) else str(denied)
