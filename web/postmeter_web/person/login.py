"""Log-in with e-mail address and password, and a code where there is a second factor; log-out."""

from __future__ import annotations

import re

from flask import Blueprint, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext, ngettext
from flask_login import current_user, logout_user
from wtforms import EmailField, HiddenField, PasswordField, StringField
from wtforms.validators import InputRequired, Length

from postmeter.store import accounts, logins, second_factors
from postmeter.store.accounts import UserFacts
from postmeter_web.context import changing, now, panel, reading
from postmeter_web.forms import Form
from postmeter_web.person import guard, sessions
from postmeter_web.person.guard import Denied

blueprint = Blueprint("login", __name__)

_OWN_PATH = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")  # "//host" and "/\host" lead elsewhere
PENDING = "pending"  # in the session between password and code: the user, the epoch, when, and where to go on
PATIENCE = 600.0  # seconds that the code may take
_TOTP_DIGITS = 6


class LoginForm(Form):
    """E-mail address, password and the page that was asked for."""

    email = EmailField(
        lazy_gettext("E-mail address"), [InputRequired(), Length(max=254)], render_kw={"autocomplete": "username"}
    )
    password = PasswordField(
        lazy_gettext("Password"), [InputRequired(), Length(max=1024)], render_kw={"autocomplete": "current-password"}
    )
    next = HiddenField()


class CodeForm(Form):
    """The app's code, or a recovery code."""

    code = StringField(
        lazy_gettext("Code"),
        [InputRequired(), Length(max=40)],
        render_kw={"autocomplete": "one-time-code", "autocapitalize": "none", "spellcheck": "false"},
    )


@blueprint.get("/login")
@blueprint.post("/login")
def log_in() -> ResponseReturnValue:
    """The form; with the right password a new session begins, or the code is asked for."""
    form = LoginForm(next=request.args.get("next", ""))
    if current_user.is_authenticated:
        return redirect(safe_path(form.next.data))
    if not form.validate_on_submit():
        return _form(form, "", 200 if request.method == "GET" else 400)
    try:
        facts = guard.check_password(form.email.data.strip(), form.password.data)
    except Denied as denied:
        return _form(form, str(denied), denied.status)
    if facts.second_factor:
        session.clear()
        session.permanent = True
        session[PENDING] = [facts.id, facts.epoch, now(), safe_path(form.next.data)]
        return redirect(url_for("login.code"))
    with changing("user.login", facts.email) as change:
        sessions.begin(change.db, facts)
    return redirect(safe_path(form.next.data))


@blueprint.get("/login/code")
@blueprint.post("/login/code")
def code() -> ResponseReturnValue:
    """Between password and session: the code; nobody is logged in yet."""
    facts, form = _pending(), CodeForm()
    if facts is None:
        session.pop(PENDING, None)
        flash(gettext("This took too long. Please log in again."), "problem")
        return redirect(url_for("login.log_in"))
    if not form.validate_on_submit():
        return render_template("person/code.html", form=form), 200 if request.method == "GET" else 400
    try:
        with guard.code_attempt(facts.id), changing("user.login", facts.email) as change:
            guard.use_code(change, facts.id, form.code.data)
            left = second_factors.codes_left(change.db, facts.id)
            target = session[PENDING][3]
            sessions.begin(change.db, facts)
    except Denied as denied:
        form.problem = str(denied)
        return render_template("person/code.html", form=form), denied.status
    if len("".join(form.code.data.split())) > _TOTP_DIGITS:
        flash(_codes_left(left))
    return redirect(safe_path(target))


@blueprint.post("/logout")
def log_out() -> ResponseReturnValue:
    """End this session; ``next``: where to go on."""
    if current_user.is_authenticated:
        with changing("user.logout", current_user.facts.email) as change:
            logins.end(change.db, current_user.facts.id, sessions.own_login().id)
    logout_user()
    session.clear()
    target = request.form.get("next")
    return redirect(safe_path(target) if target else url_for("login.log_in"))


def safe_path(target: str | None) -> str:
    """The path to go on to: ``target`` when it is one of this site, else the start page."""
    return target if target and _OWN_PATH.fullmatch(target) else url_for("home.show")


def _pending() -> UserFacts | None:
    """Who has just given the right password; None when that is too long ago, or is not the password any more."""
    user_id, epoch, at, _ = session.get(PENDING) or (0, 0, 0.0, "")
    if not user_id or now() - at > PATIENCE:
        return None
    with reading() as db:
        facts = accounts.user_facts(db, user_id)
    return facts if facts and facts.epoch == epoch else None


def _form(form: LoginForm, problem: str, status: int) -> ResponseReturnValue:
    form.problem = problem
    return render_template("person/login.html", form=form, requests=panel().settings.web.requests), status


def _codes_left(number: int) -> str:
    if number == 0:
        return str(gettext("That was your last recovery code. Make new ones in your profile."))
    return str(
        ngettext(
            "You have %(num)d recovery code left. You can make new ones in your profile.",
            "You have %(num)d recovery codes left. You can make new ones in your profile.",
            number,
        )
    )
