"""Who may come in: log-in with e-mail address and password, log-out, and a door that is shut by default."""

from __future__ import annotations

import re

from flask import Blueprint, Flask, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext, ngettext
from flask_login import LoginManager, current_user, login_user, logout_user
from wtforms import EmailField, HiddenField, PasswordField
from wtforms.validators import InputRequired, Length

from postmeter.store import accounts
from postmeter_web.context import Visitor, panel
from postmeter_web.forms import Form
from postmeter_web.person.throttle import address_key

blueprint = Blueprint("login", __name__)

_OWN_PATH = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")  # "//host" and "/\host" lead elsewhere
WRONG = lazy_gettext("The e-mail address or the password is wrong.")


class LoginForm(Form):
    """E-mail address, password and the page that was asked for."""

    email = EmailField(
        lazy_gettext("E-mail address"), [InputRequired(), Length(max=254)], render_kw={"autocomplete": "username"}
    )
    password = PasswordField(
        lazy_gettext("Password"), [InputRequired(), Length(max=1024)], render_kw={"autocomplete": "current-password"}
    )
    next = HiddenField()


def init_app(app: Flask) -> None:
    """Have ``app`` know its visitors."""
    LoginManager(app).user_loader(_load)


def _load(session_id: str) -> Visitor | None:
    """The user of a session; None when there is none any more or the epoch was raised since."""
    user_id, _, _ = session_id.partition(".")
    with panel().store.read() as db:
        facts = accounts.user_facts(db, int(user_id)) if user_id.isdecimal() else None
    found = Visitor(facts) if facts else None
    return found if found and found.get_id() == session_id else None


@blueprint.get("/login")
@blueprint.post("/login")
def log_in() -> ResponseReturnValue:
    """The form; with the right password a new session begins."""
    form = LoginForm(next=request.args.get("next", ""))
    if current_user.is_authenticated:
        return redirect(safe_path(form.next.data))
    if not form.validate_on_submit():
        return _form(form, "", 200 if request.method == "GET" else 400)
    email = form.email.data.strip()
    keys = (f"user {email.casefold()}", f"address {address_key(request.remote_addr or '')}")
    now = panel().clock()
    wait = panel().throttle.attempt(keys, now)
    if wait:
        return _form(form, _too_many(wait), 429)
    with panel().checks, panel().store.read() as db:
        facts = accounts.authenticate(db, email, form.password.data)
    if facts is None:
        return _form(form, WRONG, 403)
    panel().throttle.forgive(keys, now)
    session.clear()  # nothing of the visitor's old session lives on in the new one
    session.permanent = True
    login_user(Visitor(facts))
    return redirect(safe_path(form.next.data))


@blueprint.post("/logout")
def log_out() -> ResponseReturnValue:
    """End this session."""
    logout_user()
    session.clear()
    return redirect(url_for("login.log_in"))


def safe_path(target: str | None) -> str:
    """The path to go on to: ``target`` when it is one of this site, else the start page."""
    return target if target and _OWN_PATH.fullmatch(target) else url_for("home.show")


def _form(form: LoginForm, problem: object, status: int) -> ResponseReturnValue:
    form.problem = str(problem)
    return render_template("person/login.html", form=form), status


def _too_many(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return str(
        ngettext(
            "Too many failed log-ins. Please try again in %(num)d minute.",
            "Too many failed log-ins. Please try again in %(num)d minutes.",
            minutes,
        )
    )
