"""Receiving providers: how they take the mail, what they say against it, and who gets less or nothing for a while."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC

from flask import Blueprint, abort, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_timezone, gettext, lazy_gettext
from sqlalchemy.orm import Session
from wtforms import DateTimeLocalField, StringField
from wtforms.validators import InputRequired, Optional

from postmeter.errors import UsageError
from postmeter.store import provider_sessions, providers, refusals, sources, statistics, waiting
from postmeter.store.provider_sessions import Sessions
from postmeter.store.providers import Suspension
from postmeter.store.queue_filter import Filter
from postmeter.store.sources import Figures
from postmeter.store.statistics import Totals
from postmeter_web.context import changing, now, reading
from postmeter_web.forms import Form
from postmeter_web.operator.day import DAY, midnight
from postmeter_web.sentences import in_words

blueprint = Blueprint("providers", __name__)

WEEK = 7 * DAY
BY = "operator"
NOTHING = Totals(0, 0, 0, 0, 0, 0, 0, 0)


class Pause(Form):
    """How long a provider is sent nothing, and why."""

    reason = StringField(lazy_gettext("Reason (the timelines of the messages have it)"), [InputRequired()])
    until = DateTimeLocalField(lazy_gettext("Until (empty: until you resume it)"), [Optional()])


@dataclass(frozen=True)
class Provider:
    """A provider today and in the last seven days; ``connections`` has what was tried, and how much of it over TLS.

    ``sessions``: those of all workers at present; None: they have none to tell of.
    """

    name: str
    today: Totals
    week: Totals
    waits: int
    connections: Figures
    sessions: Sessions | None
    suspension: Suspension | None


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """All that mail was sent to within seven days, or that get less than usual or nothing."""
    with reading() as db:
        found = _all(db)
    return render_template("operator/providers.html", providers=found, now=now())


@blueprint.get("/<account:provider>/")
def show_one(provider: str) -> ResponseReturnValue:
    """One of them, with what it said."""
    return _page(provider, Pause(formdata=None))


def _page(name: str, form: Pause) -> str:
    with reading() as db:
        one = next((one for one in _all(db) if one.name == name), None)
        if one is None:
            abort(404)
        said = refusals.refusals(db, name)
    waits = str(Filter((("provider", name),)))
    return render_template("operator/provider.html", one=one, said=said, form=form, waits=waits, now=now())


@blueprint.post("/<account:provider>/suspend")
def suspend(provider: str) -> ResponseReturnValue:
    """Send it nothing."""
    form = Pause()
    if form.validate_on_submit():
        here = form.until.data and form.until.data.replace(tzinfo=get_timezone() or UTC)
        until = here.timestamp() if here else None
        try:
            with changing("provider.suspend", provider, reason=form.reason.data, until=until) as change:
                providers.suspend(change.db, provider, form.reason.data, until, now(), BY)
        except UsageError as error:
            form.refuse(error)
        else:
            flash(gettext("%(provider)s is sent nothing: its mail waits.", provider=provider))
            return redirect(url_for(".show_one", provider=provider))
    return _page(provider, form), 400


@blueprint.post("/<account:provider>/resume")
def resume(provider: str) -> ResponseReturnValue:
    """Send it mail again, beginning with what waits."""
    with reading() as db:
        waits = providers.what_waits(db, provider, now())
    try:
        with changing("provider.resume", provider) as change:
            change.facts["order"] = providers.resume(change.db, provider, waits, now(), BY)
    except UsageError as error:
        flash(in_words(str(error)), "problem")
    else:
        flash(gettext("%(provider)s is sent mail again, beginning with what waits.", provider=provider))
    return redirect(url_for(".show"))


def _all(db: Session) -> list[Provider]:
    today = {share.of: share.totals for share in statistics.by_provider(db, None, midnight())}
    week = {share.of: share.totals for share in statistics.by_provider(db, None, now() - WEEK)}
    suspended = {one.provider: one for one in providers.suspensions(db, now())}
    waits, tried = waiting.by_provider(db), sources.by_provider(db, now() - WEEK)
    sessions = provider_sessions.sessions(db, now())
    found = [
        Provider(
            name,
            today.get(name, NOTHING),
            week.get(name, NOTHING),
            waits.get(name, 0),
            tried.get(name, Figures()),
            sessions.get(name),
            suspended.get(name),
        )
        for name in {*today, *week, *waits, *suspended, *sessions} - {""}
    ]
    return sorted(found, key=lambda one: (-one.week.arrived, one.name))
