"""Where an invitation leads: who has a login joins with it, who has none chooses a password."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext
from flask_login import current_user

from postmeter.errors import UsageError
from postmeter.store import accounts, team
from postmeter.store.secrets import NewPassword
from postmeter.store.team import Invitation
from postmeter_web.context import changing, now, panel, reading
from postmeter_web.forms import Form
from postmeter_web.person import sessions
from postmeter_web.person.guard import Denied
from postmeter_web.person.password import PasswordForm
from postmeter_web.sentences import in_words

blueprint = Blueprint("join", __name__)

TOO_LATE = lazy_gettext("This invitation was accepted already, taken back, or its time is over.")


@blueprint.get("/join/<token>")
@blueprint.post("/join/<token>")
def show(token: str) -> ResponseReturnValue:
    """The invitation; accepted when it is sent back."""
    with reading() as db:
        found = team.invitation(db, panel().secrets, token, now())
        known = bool(found and accounts.user_by_email(db, found.email))
    if found is None:
        flash(str(TOO_LATE), "problem")
        return redirect(url_for("home.show"))
    here = current_user.facts.email if current_user.is_authenticated else ""
    form = Form() if known else PasswordForm()
    password = None
    if form.validate_on_submit():
        if known and here == found.email:
            return _join(token, found)
        if not known and not here and (password := form.chosen(found.email)):
            return _join(token, found, password)
    status = 200 if request.method == "GET" else 400
    return render_template("person/join.html", form=form, token=token, found=found, known=known, here=here), status


def _join(token: str, found: Invitation, password: NewPassword | None = None) -> ResponseReturnValue:
    """Become a member; with a password also a user, who is logged in then."""
    try:
        with changing("team.join", found.email, role=found.role) as change:
            change.account_id = found.account_id
            if password:
                accounts.add_user(change.db, found.email, False, password, now())
            if not team.accept(change.db, panel().secrets, token, found.email, now()):
                raise Denied(TOO_LATE)
            facts = accounts.user_by_email(change.db, found.email)
            if password and facts:
                sessions.begin(change.db, facts)
    except (Denied, UsageError) as error:
        flash(in_words(str(error)), "problem")
    return redirect(url_for("home.show"))
