"""A new password for who has forgotten the old one: asked for here, chosen by a link that comes by mail."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from wtforms import EmailField, PasswordField
from wtforms.validators import InputRequired, Length

from postmeter.errors import UsageError
from postmeter.store import accounts, tickets
from postmeter.store.secrets import NewPassword
from postmeter_web.context import changing, now, panel, reading
from postmeter_web.forms import Form
from postmeter_web.person import guard, letters, strength
from postmeter_web.person.guard import Denied

blueprint = Blueprint("password", __name__)

TOO_LATE = lazy_gettext("This link was used already, or its time is over. Ask for a new one.")


class ForgottenForm(Form):
    """Whose password is forgotten."""

    email = EmailField(
        lazy_gettext("E-mail address"), [InputRequired(), Length(max=254)], render_kw={"autocomplete": "username"}
    )


class PasswordForm(Form):
    """A password that somebody chooses."""

    password = PasswordField(
        lazy_gettext("New password"),
        [InputRequired(), Length(max=strength.LONGEST)],
        description=lazy_gettext("At least 10 characters. Some words that do not belong together are best."),
        render_kw={"autocomplete": "new-password", "minlength": strength.SHORTEST},
    )

    def chosen(self, email: str) -> NewPassword | None:
        """The password, hashed; None when it is not good enough, which is said then."""
        self.problem = strength.problem(self.password.data, email)
        if self.problem:
            return None
        with panel().checks:
            return NewPassword.of(self.password.data)


@blueprint.get("/forgotten")
@blueprint.post("/forgotten")
def forgotten() -> ResponseReturnValue:
    """The form; the answer is the same whether the address is known."""
    form = ForgottenForm()
    if not form.validate_on_submit():
        return render_template("person/forgotten.html", form=form), 200 if request.method == "GET" else 400
    try:
        email = accounts.clean_email(form.email.data)
        guard.count_try(panel().letters, f"user {email}", guard.here())
    except UsageError as error:
        form.refuse(error)
        return render_template("person/forgotten.html", form=form), 400
    except Denied as denied:
        form.problem = str(denied)
        return render_template("person/forgotten.html", form=form), denied.status
    with changing("user.forgotten", email) as change:
        if facts := accounts.user_by_email(change.db, email):
            token = tickets.issue(change.db, panel().secrets, tickets.PASSWORD, email, now(), tickets.HOUR)
            letters.forgotten(change.db, email, facts.language, token)
    return redirect(url_for("password.sent"))


@blueprint.get("/forgotten/sent")
def sent() -> ResponseReturnValue:
    """What to wait for."""
    return render_template("person/sent.html")


@blueprint.get("/password/<token>")
@blueprint.post("/password/<token>")
def set_password(token: str) -> ResponseReturnValue:
    """Where the link leads: a new password; all sessions of the user end."""
    with reading() as db:
        ticket = tickets.find(db, panel().secrets, tickets.PASSWORD, token, now())
    if ticket is None:
        return _too_late()
    form = PasswordForm()
    password = form.chosen(ticket.email) if form.validate_on_submit() else None
    if password is None:
        status = 200 if request.method == "GET" else 400
        return render_template("person/new_password.html", form=form, token=token, email=ticket.email), status
    try:
        with changing("user.password", ticket.email, by="link") as change:
            if not tickets.use(change.db, panel().secrets, tickets.PASSWORD, token, now()):
                raise Denied(TOO_LATE)
            accounts.set_password(change.db, ticket.email, password)
    except Denied:
        return _too_late()
    flash(f"{strength.in_words(form.password.data)} {gettext('Log in with it now.')}")
    return redirect(url_for("login.log_in"))


def _too_late() -> ResponseReturnValue:
    flash(str(TOO_LATE), "problem")
    return redirect(url_for("password.forgotten"))
