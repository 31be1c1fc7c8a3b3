"""The operator's plugins: how they fare, what they are told again, and their settings."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext, ngettext, to_utc
from sqlalchemy.orm import Session
from wtforms import DateTimeLocalField
from wtforms.validators import Optional

from postmeter.errors import ConfigError
from postmeter.plugin_settings import ENVIRONMENT, Layers
from postmeter.roster import ENABLED, Listed, kinds_of, roster, settings_facts, wanted_by
from postmeter.setting import kinds
from postmeter.store import parked, replays
from postmeter.store.chosen import choose, chosen, take_back
from postmeter.store.replays import FOREVER, LAST, Span
from postmeter_web.context import changing, now, number_asked, panel, reading
from postmeter_web.forms import Form
from postmeter_web.operator.plugin_form import SettingsForm, settings_form

LIST = 50  # dead letters on a page

blueprint = Blueprint("plugins", __name__)


class SpanForm(Form):
    """From when to when events are told again; both may be left out."""

    since = DateTimeLocalField(lazy_gettext("From"), [Optional()], format=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])
    until = DateTimeLocalField(lazy_gettext("Before"), [Optional()], format=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])

    @property
    def span(self) -> Span:
        """It, in seconds since the epoch."""
        return Span(0, LAST, _seconds(self.since.data, 0.0), _seconds(self.until.data, FOREVER))


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """All of them."""
    with reading() as db:
        return render_template("operator/plugins.html", plugins=roster(db, panel().plugins, now()), now=now())


@blueprint.get("/<plugin>/")
def one(plugin: str) -> ResponseReturnValue:
    """One that is enabled, with its settings and dead letters."""
    behind = number_asked("behind") or 0
    with reading() as db:
        found = _found(db, plugin)
        layers, error = _next(db, plugin)
        dead = parked.dead(db, plugin, LIST + 1, behind)
    page, more = dead[:LIST], len(dead) > LIST
    return render_template(
        "operator/plugin.html",
        plugin=found,
        listens=bool(kinds_of(panel().plugins, plugin)),
        settings=settings_facts(layers, layers.settings(plugin)),
        running={own.key: own.value for own in found.settings},
        error=error,
        dead=page,
        older=url_for(".one", plugin=plugin, behind=page[-1].event_id) if more else "",
        newer=url_for(".one", plugin=plugin) if behind else "",
        span=SpanForm(formdata=None),
        now=now(),
    )


@blueprint.post("/<plugin>/dead")
def revive(plugin: str) -> ResponseReturnValue:
    """Have a dead letter, or all, told again."""
    event_id = request.form.get("event", type=int)
    with changing("plugin.revive", plugin, event=event_id) as change:
        _found(change.db, plugin)
        number = change.facts["number"] = parked.revive(change.db, plugin, event_id)
    flash(ngettext("%(num)d event is told again.", "%(num)d events are told again.", number))
    return redirect(url_for(".one", plugin=plugin))


@blueprint.get("/<plugin>/replay")
def preview(plugin: str) -> ResponseReturnValue:
    """How many events would be told again."""
    form = SpanForm(formdata=request.args, meta={"csrf": False})
    valid = form.validate()
    with reading() as db:
        _listening(db, plugin)
        number, _ = replays.survey(db, plugin, form.span, wanted_by(panel().plugins, plugin))
    return render_template("operator/plugin_replay.html", plugin=plugin, form=form, number=number if valid else None)


@blueprint.post("/<plugin>/replay")
def replay(plugin: str) -> ResponseReturnValue:
    """Have them told again."""
    form = SpanForm()
    if not form.validate():
        return redirect(url_for(".preview", plugin=plugin, since=request.form.get("since")))
    wish = form.span
    with changing("plugin.replay", plugin, since=wish.since, until=wish.until) as change:
        _listening(change.db, plugin)
        number, span = replays.survey(change.db, plugin, wish, wanted_by(panel().plugins, plugin))
        if number:
            replays.wish(change.db, plugin, span)
        change.facts["number"] = number
    flash(ngettext("%(num)d event is told again.", "%(num)d events are told again.", number))
    return redirect(url_for(".one", plugin=plugin))


@blueprint.get("/<plugin>/settings")
def settings(plugin: str) -> ResponseReturnValue:
    """The form of its settings."""
    with reading() as db:
        _found(db, plugin)
        layers, error = _next(db, plugin)
    return _form(plugin, layers, settings_form(layers, layers.settings(plugin)), error)


@blueprint.post("/<plugin>/settings")
def save(plugin: str) -> ResponseReturnValue:
    """Keep what was entered, if the plugin can be started with it."""
    with reading() as db:
        _found(db, plugin)
        layers, error = _next(db, plugin)
    values = layers.settings(plugin)
    form = settings_form(layers, values)
    if not form.validate():
        return _form(plugin, layers, form, error), 400
    entered = form.entered(values)
    try:
        layers.with_panel({**layers.panel, **entered}).settings(plugin)
    except ConfigError as wrong:
        form.problem = str(wrong)
        return _form(plugin, layers, form, error), 400
    if entered:
        shown = {key: value for key, value in entered.items() if key not in form.secret}
        with changing("plugin.settings", plugin, changed=sorted(entered), values=shown) as change:
            choose(change.db, panel().secrets, plugin, entered, form.secret, now())
    flash(gettext("Saved. Each process of the relay uses it from its next start on: restart `postmeter up`."))
    return redirect(url_for(".one", plugin=plugin))


@blueprint.post("/<plugin>/settings/<key>/back")
def back(plugin: str, key: str) -> ResponseReturnValue:
    """Let the file's value, or the default, count again."""
    with changing("plugin.settings_back", plugin, key=key) as change:
        _found(change.db, plugin)
        if not take_back(change.db, plugin, key):
            abort(404)
    flash(gettext("%(key)s is as the file has it again, from the next start of the relay on.", key=key))
    return redirect(url_for(".one", plugin=plugin))


def _found(db: Session, plugin: str) -> Listed:
    """The enabled plugin of that name."""
    known = (one for one in roster(db, panel().plugins, now()) if one.name == plugin and one.state == ENABLED)
    return next(known, None) or abort(404)


def _listening(db: Session, plugin: str) -> None:
    _found(db, plugin)
    if not kinds_of(panel().plugins, plugin):
        abort(404)


def _next(db: Session, plugin: str) -> tuple[Layers, str]:
    """What is set for the plugin now, as it counts from the next start on; and why what the panel says cannot be."""
    layers = panel().plugins.layers(plugin)
    wanted = layers.with_panel(chosen(db, panel().secrets).get(plugin, {}))
    try:
        wanted.settings(plugin)
    except ConfigError as error:
        return layers.with_panel({}), str(error)
    return wanted, ""


def _form(plugin: str, layers: Layers, form: SettingsForm, error: str) -> str:
    fixed = [key for key in kinds(layers.schema) if layers.source(key) == ENVIRONMENT]
    return render_template("operator/plugin_settings.html", plugin=plugin, form=form, error=error, fixed=fixed)


def _seconds(entered: datetime | None, default: float) -> float:
    return default if entered is None else float(to_utc(entered).replace(tzinfo=UTC).timestamp())
