"""An account's team: who belongs to it and as what, invitations by mail, and what everybody changed."""

from __future__ import annotations

from flask import Blueprint, abort, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from sqlalchemy.orm import Session
from wtforms import EmailField, SelectField
from wtforms.validators import InputRequired, Length

from postmeter.errors import UsageError
from postmeter.store import accounts, audit, team
from postmeter.store.accounts import ROLES
from postmeter.store.team import GIVES, Teammate
from postmeter.store.tickets import TicketFacts
from postmeter_web.access import MANAGE, needs, own_pages
from postmeter_web.context import changing, now, number_asked, panel, reading, visitor
from postmeter_web.downloads import backwards, changes, download
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
        found = _invitation_or_404(db, ticket)
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
            found = _invitation_or_404(change.db, ticket)
            change.subject = found.email
            team.withdraw(change.db, g.account.id, g.account.role, ticket, now())
        flash(gettext("The invitation of %(email)s is taken back.", email=found.email))
    except UsageError as error:
        flash(in_words(str(error)), "problem")
    return redirect(url_for("team.show"))


@blueprint.get("/<int:user>/")
@needs(MANAGE)
def member(user: int) -> ResponseReturnValue:
    """One member, with what can be changed."""
    with reading() as db:
        found = _member_or_404(db, user)
    may = found.role in GIVES.get(g.account.role, ())
    return render_template("account/team_member.html", member=found, form=RoleForm(role=found.role), may=may, now=now())


@blueprint.post("/<int:user>/role")
def change_role(user: int) -> ResponseReturnValue:
    """Give a member another role."""
    role = request.form.get("role", "")
    try:
        with changing("team.role", role=role) as change:
            change.subject = _member_or_404(change.db, user).email
            team.change_role(change.db, g.account.id, g.account.role, user, role)
        flash(gettext("%(email)s has the role %(role)s now.", email=change.subject, role=role_name(role)))
    except UsageError as error:
        flash(in_words(str(error)), "problem")
    return _back(user)


@blueprint.post("/<int:user>/remove")
def remove(user: int) -> ResponseReturnValue:
    """Take a member out of the account."""
    try:
        with changing("team.remove") as change:
            change.subject = _member_or_404(change.db, user).email
            team.remove(change.db, g.account.id, g.account.role, user)
        flash(gettext("%(email)s does not belong to the account any more.", email=change.subject))
    except UsageError as error:
        flash(in_words(str(error)), "problem")
    return _back(user)


@blueprint.get("/log")
@needs(MANAGE)
def log() -> ResponseReturnValue:
    """What was changed in the account, newest first."""
    before, find = number_asked("before"), request.args.get("find", "").strip()[:200]
    with reading() as db:
        found = audit.entries(db, g.account.id, before=before, find=find, limit=PAGE + 1)
    older = url_for("team.log", before=found[PAGE - 1].id, find=find or None) if len(found) > PAGE else None
    newer = url_for("team.log", find=find or None) if before is not None else None
    return render_template("account/team_log.html", entries=found[:PAGE], find=find, newer=newer, older=older)


@blueprint.post("/log")
def export_log() -> ResponseReturnValue:
    """The same as a file; the log tells of it."""
    account, find = g.account.id, request.form.get("find", "").strip()[:200]
    with changing("team.export", find):
        entries = backwards(lambda db, before, limit: audit.entries(db, account, before=before, find=find, limit=limit))
        return download("changes", changes(entries))


def _page(form: InviteForm, status: int = 200) -> ResponseReturnValue:
    with reading() as db:
        members = team.members(db, g.account.id)
        open_ = team.invitations(db, g.account.id, now()) if g.account.may(MANAGE) else []
    return render_template(
        "account/team.html", form=form, members=members, invitations=open_, roles=ROLES, gives=_gives(), now=now()
    ), status


def _back(user: int) -> ResponseReturnValue:
    """To the team; who has changed himself may not see that any more."""
    return redirect(url_for("home.show" if user == visitor().id else "team.show"))


def _member_or_404(db: Session, user: int) -> Teammate:
    found = next((one for one in team.members(db, g.account.id) if one.user_id == user), None)
    return found or abort(404)


def _invitation_or_404(db: Session, ticket: int) -> TicketFacts:
    found = next((one for one in team.invitations(db, g.account.id, now()) if one.id == ticket), None)
    return found or abort(404)


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
