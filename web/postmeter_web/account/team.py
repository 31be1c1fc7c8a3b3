"""An account's team: who belongs to it and as what, invitations by mail, and what everybody changed."""

from __future__ import annotations

from flask import Blueprint, abort, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from wtforms import EmailField, SelectField
from wtforms.validators import InputRequired, Length

from postmeter.errors import UsageError
from postmeter.store import accounts, audit, team
from postmeter.store.accounts import ROLES
from postmeter.store.team import GIVES
from postmeter_web.access import MANAGE, MEMBER, needs, own_pages
from postmeter_web.context import changing, now, panel, reading, visitor
from postmeter_web.forms import Form
from postmeter_web.person import guard, letters
from postmeter_web.person.guard import Denied
from postmeter_web.roles import role_name
from postmeter_web.sentences import in_words

blueprint = own_pages(Blueprint("team", __name__))

PAGE = 50  # entries of the log on a page


def given_roles() -> list[tuple[str, str]]:
    """The roles that the visitor gives, from the one that may least."""
    return [(role, role_name(role)) for role in reversed(ROLES) if role in GIVES.get(g.account.role, ())]


class InviteForm(Form):
    """Whom to invite, and as what."""

    email = EmailField(lazy_gettext("E-mail address"), [InputRequired(), Length(max=254)])
    role = SelectField(lazy_gettext("Role"), choices=given_roles)


class RoleForm(Form):
    """Another role."""

    role = SelectField(lazy_gettext("Role"), choices=given_roles)


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """The members, the open invitations, and what the roles mean."""
    return _page(InviteForm())


@blueprint.post("/")
def invite() -> ResponseReturnValue:
    """Invite somebody by mail."""
    form = InviteForm()
    if not form.validate_on_submit():
        return _page(form, 400)
    try:
        _invite(form.email.data, form.role.data)
    except UsageError as error:
        form.refuse(error)
        return _page(form, 400)
    except Denied as denied:
        form.problem = str(denied)
        return _page(form, denied.status)
    return redirect(url_for("team.show"))


@blueprint.post("/invitations/<int:ticket>/again")
def invite_again(ticket: int) -> ResponseReturnValue:
    """Send an invitation once more; the link before is good for nothing then."""
    with reading() as db:
        try:
            found = team.invitation_of(db, g.account.id, ticket, now())
        except UsageError:
            abort(404)
    try:
        _invite(found.email, found.role)
    except (UsageError, Denied) as error:
        flash(in_words(str(error)), "problem")
    return redirect(url_for("team.show"))


@blueprint.post("/invitations/<int:ticket>/withdraw")
def withdraw(ticket: int) -> ResponseReturnValue:
    """Take an invitation back."""
    try:
        with changing("team.withdraw") as change:
            found = team.withdraw(change.db, g.account.id, g.account.role, ticket, now())
            change.subject = found.email
        flash(gettext("The invitation of %(email)s is taken back.", email=found.email))
    except UsageError as error:
        flash(in_words(str(error)), "problem")
    return redirect(url_for("team.show"))


@blueprint.get("/<int:user>/")
@needs(MANAGE)
def member(user: int) -> ResponseReturnValue:
    """One member, with what can be changed."""
    with reading() as db:
        found = next((one for one in team.members(db, g.account.id) if one.user_id == user), None)
    if found is None:
        abort(404)
    may = found.role in GIVES.get(g.account.role, ())
    return render_template("account/team_member.html", member=found, form=RoleForm(role=found.role), may=may, now=now())


@blueprint.post("/<int:user>/role")
def change_role(user: int) -> ResponseReturnValue:
    """Give a member another role."""
    role = request.form.get("role", "")
    try:
        with changing("team.role", role=role) as change:
            change.subject = team.change_role(change.db, g.account.id, g.account.role, user, role).email
        flash(gettext("%(email)s has the role %(role)s now.", email=change.subject, role=role_name(role)))
    except UsageError as error:
        flash(in_words(str(error)), "problem")
    return redirect(url_for("team.show"))


@blueprint.post("/<int:user>/remove")
def remove(user: int) -> ResponseReturnValue:
    """Take a member out of the account."""
    try:
        with changing("team.remove") as change:
            change.subject = team.remove(change.db, g.account.id, g.account.role, user).email
        flash(gettext("%(email)s does not belong to the account any more.", email=change.subject))
    except UsageError as error:
        flash(in_words(str(error)), "problem")
    return redirect(url_for("team.show"))


@blueprint.post("/leave")
@needs(MEMBER)
def leave() -> ResponseReturnValue:
    """Belong to the account no more."""
    try:
        with changing("team.leave", visitor().email) as change:
            team.leave(change.db, g.account.id, visitor().id)
        flash(gettext("You do not belong to the account %(name)s any more.", name=g.account.name))
    except UsageError as error:
        flash(in_words(str(error)), "problem")
    return redirect(url_for("profile.show"))


@blueprint.get("/log")
@needs(MANAGE)
def log() -> ResponseReturnValue:
    """What was changed in the account, newest first."""
    before, find = request.args.get("before", type=int), request.args.get("find", "").strip()[:200]
    with reading() as db:
        found = audit.entries(db, g.account.id, before=before, find=find, limit=PAGE + 1)
    older = url_for("team.log", before=found[PAGE - 1].id, find=find or None) if len(found) > PAGE else None
    newer = url_for("team.log", find=find or None) if before is not None else None
    return render_template("account/team_log.html", entries=found[:PAGE], find=find, newer=newer, older=older)


def _page(form: InviteForm, status: int = 200) -> ResponseReturnValue:
    with reading() as db:
        members = team.members(db, g.account.id)
        open_ = team.invitations(db, g.account.id, now()) if g.account.may(MANAGE) else []
    return render_template(
        "account/team.html", form=form, members=members, invitations=open_, roles=ROLES, gives=_gives(), now=now()
    ), status


def _gives() -> frozenset[str]:
    return GIVES.get(g.account.role, frozenset())


def _invite(email: str, role: str) -> None:
    """Write to somebody, unless the account or others have just written too often; Denied or UsageError: why not."""
    email, account = accounts.clean_email(email), g.account
    guard.count_try(panel().letters, f"invite {email}")
    guard.count_try(panel().invitations, f"account {account.id}")
    with changing("team.invite", email, role=role) as change:
        token = team.invite(change.db, panel().secrets, account.id, account.role, email, role, visitor().id, now())
        known = accounts.user_by_email(change.db, email)
        letters.invited(change.db, email, known.language if known else "", account.name, visitor().email, token)
    flash(gettext("%(email)s is invited. The link in the mail is good for 7 days.", email=email))
