"""A person's own page: language and time zone, password, and where the person is logged in."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext, refresh
from wtforms import PasswordField, SelectField, StringField, ValidationError
from wtforms.validators import InputRequired, Length

from postmeter.errors import UsageError
from postmeter.store import accounts, logins, second_factors, team
from postmeter_web.context import changing, now, panel, reading, visitor
from postmeter_web.forms import Form
from postmeter_web.languages import LANGUAGES
from postmeter_web.person import guard, letters, sessions, strength
from postmeter_web.person.devices import device
from postmeter_web.person.guard import Denied
from postmeter_web.person.password import PasswordForm
from postmeter_web.sentences import in_words

blueprint = Blueprint("profile", __name__)


def own_password(label: object = lazy_gettext("Your password")) -> PasswordField:
    """The field that makes sure that it is still the same person."""
    return PasswordField(
        label, [InputRequired(), Length(max=strength.LONGEST)], render_kw={"autocomplete": "current-password"}
    )


@cache
def timezones() -> list[str]:
    """All there are, by name: those of places, and UTC."""
    places = (zone for zone in available_timezones() if "/" in zone and not zone.startswith("Etc/"))
    return [*sorted(places), "UTC"]


class PreferencesForm(Form):
    """How pages are written for the visitor."""

    language = SelectField(
        lazy_gettext("Language"), choices=lambda: [("", gettext("As the browser says")), *LANGUAGES.items()]
    )
    timezone = StringField(
        lazy_gettext("Time zone"),
        [Length(max=60)],
        description=lazy_gettext("Type a part of it, such as Berlin. Empty: as the operator has set it."),
        render_kw={"list": "timezones", "autocomplete": "off", "spellcheck": "false"},
    )

    def validate_timezone(self, field: StringField) -> None:
        """One that there is, or none."""
        field.data = field.data.strip()
        if field.data and field.data not in timezones():
            raise ValidationError(gettext("There is no such time zone. Choose one from the list."))


class OwnPasswordForm(PasswordForm):
    """The old password and a new one."""

    old = own_password(lazy_gettext("Present password"))


@blueprint.get("/")
@blueprint.post("/")
def show() -> ResponseReturnValue:
    """The page; what is sent to it are the language and the time zone."""
    me = visitor()
    form = PreferencesForm(language=me.language, timezone=me.timezone)
    if form.validate_on_submit():
        chosen = {"language": form.language.data, "timezone": form.timezone.data}
        with changing("user.preferences", me.email, **chosen) as change:
            accounts.set_preferences(change.db, me.id, **chosen)
            sessions.renew(change.db)
        refresh()  # from here on the new language is spoken
        flash(gettext("Saved."))
        return redirect(url_for("profile.show"))
    with reading() as db:
        answer = render_template(
            "person/profile.html",
            form=form,
            timezones=timezones(),
            usual=panel().settings.web.timezone,
            logins=logins.logins_of(db, me.id, now()),
            own=sessions.own_login().id,
            codes=second_factors.codes_left(db, me.id),
            device=device,
            now=now(),
        )
    return answer, 200 if request.method == "GET" else 400


@blueprint.get("/password")
@blueprint.post("/password")
def change_password() -> ResponseReturnValue:
    """Another password; all other sessions end."""
    form, me = OwnPasswordForm(), visitor()
    if not form.validate_on_submit():
        return render_template("person/password.html", form=form), 200 if request.method == "GET" else 400
    try:
        guard.check_password(me.email, form.old.data)
    except Denied as denied:
        form.problem = str(denied) if denied.status == 429 else gettext("The present password is another one.")
        return render_template("person/password.html", form=form), denied.status
    password = form.chosen(me.email)
    if password is None:
        return render_template("person/password.html", form=form), 400
    with changing("user.password", me.email) as change:
        accounts.set_password(change.db, me.email, password, keep=sessions.own_login().id)
        sessions.renew(change.db)
        letters.changed(change.db, me.email, me.language)
    flash(f"{strength.in_words(password.plain)} {gettext('You are logged out everywhere else.')}")
    return redirect(url_for("profile.show"))


@blueprint.post("/logins/<int:login>/end")
def end_login(login: int) -> ResponseReturnValue:
    """Log out elsewhere."""
    with changing("user.end_login", visitor().email, login=login) as change:
        if not logins.end(change.db, visitor().id, login):
            abort(404)
    flash(gettext("This browser is logged out."))
    return redirect(url_for("profile.show"))


@blueprint.post("/logins/end")
def end_others() -> ResponseReturnValue:
    """Log out everywhere else."""
    with changing("user.end_logins", visitor().email) as change:
        sessions.end_others(change.db)
    flash(gettext("You are logged out everywhere else."))
    return redirect(url_for("profile.show"))


@blueprint.post("/accounts/<account:account>/leave")
def leave(account: str) -> ResponseReturnValue:
    """Belong to an account no more."""
    own = next((one for one in visitor().accounts if one.name == account), None) or abort(404)
    try:
        with changing("team.leave", visitor().email) as change:
            change.account_id = own.id
            team.leave(change.db, own.id, visitor().id)
        flash(gettext("You do not belong to the account %(name)s any more.", name=own.name))
    except UsageError as error:
        flash(in_words(str(error)), "problem")
    return redirect(url_for("profile.show"))
