"""The operator's queue: what waits and why, and the verbs on what a filter matches, counted before anything is done."""

from __future__ import annotations

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext, ngettext

from postmeter.errors import UsageError
from postmeter.store import orders, verbs, waiting
from postmeter.store.connections import MAX_REASON
from postmeter.store.orders import OrderFacts
from postmeter.store.queue_filter import STATES, Filter
from postmeter.store.waiting import Overview
from postmeter_web.context import changing, now, reading
from postmeter_web.sentences import in_words
from postmeter_web.show import number

blueprint = Blueprint("queue", __name__)

LONGEST = 150  # characters of a condition in a link
BY = "operator"  # who the timelines of the messages name
VERBS = {
    "hold": lazy_gettext("Hold"),
    "release": lazy_gettext("Release"),
    "retry": lazy_gettext("Retry now"),
    "reroute": lazy_gettext("Reroute"),
    "cancel": lazy_gettext("Cancel"),
    "bounce": lazy_gettext("Bounce"),
}
DOES = {
    "hold": lazy_gettext("They do not leave until they are released; their lifetime stands still meanwhile."),
    "release": lazy_gettext("They may leave again, and are tried now."),
    "retry": lazy_gettext("Those that wait for their next attempt are tried now."),
    "reroute": lazy_gettext("They are tried now, and go to this server instead of where they would go."),
    "cancel": lazy_gettext("They are never sent. The unit of each that was never sent is given back to its account."),
    "bounce": lazy_gettext(
        "They are never sent, and count as bounced: their senders are told the reason. The unit of each that was never "
        "sent is given back to its account."
    ),
}
OBJECTS = {  # what is asked for besides: its label, and what helps to fill it in
    "to": (
        lazy_gettext("Next server"),
        lazy_gettext("Host and port, such as 192.0.2.1:25; or mx, then they go again where settings or DNS say."),
    ),
    "reply": (lazy_gettext("Reason"), lazy_gettext("What their senders are told.")),
}
SAYS = {
    "queued": lazy_gettext("queued"),
    "leased": lazy_gettext("being sent"),
    "deferred": lazy_gettext("deferred"),
    "held": lazy_gettext("held"),
}


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """What waits, of all or of what a filter matches."""
    text, problem, seen = request.args.get("filter", "").strip(), "", None
    with reading() as db:
        try:
            seen = waiting.overview(db, Filter.parse(text))
        except UsageError as error:
            problem = in_words(str(error))
        found = orders.orders(db)
    return _page(text, problem, seen, found), 400 if problem else 200


@blueprint.get("/live")
def live() -> ResponseReturnValue:
    """How far the orders are."""
    with reading() as db:
        found = orders.orders(db)
    return render_template("operator/_orders.html", orders=_told(found), verbs=VERBS, now=now())


@blueprint.get("/<verb>")
def preview(verb: str) -> ResponseReturnValue:
    """How many recipients a verb would concern, and the first ones, before it is ordered."""
    if verb not in VERBS:
        abort(404)
    text = request.args.get("filter", "").strip()
    try:
        chosen = Filter.parse(text)
        with reading() as db:
            counted = orders.matching(db, verb, chosen, now())
    except UsageError as error:
        flash(in_words(str(error)), "problem")
        return redirect(url_for(".show", filter=text))
    return render_template(
        "operator/queue_verb.html",
        verb=verb,
        title=VERBS[verb],
        does=DOES[verb],
        filter=str(chosen),
        counted=counted,
        object=OBJECTS.get(verbs.VERBS[verb].object),
        longest=MAX_REASON,
        says=SAYS,
        now=now(),
    )


@blueprint.post("/<verb>")
def order(verb: str) -> ResponseReturnValue:
    """Have it done to what was counted; the relay's workers do it within moments."""
    if verb not in VERBS:
        abort(404)
    text, upto = request.form.get("filter", ""), request.form.get("upto", "")[:26]
    matched = request.form.get("matched", type=int) or 0
    try:
        chosen = Filter.parse(text)
    except UsageError as error:
        flash(in_words(str(error)), "problem")
        return redirect(url_for(".show", filter=text))
    try:
        object = orders.clean_object(verb, request.form.get("object", ""))
        told = {"matched": matched, **({"object": object} if object else {})}
        with changing(f"queue.{verb}", str(chosen), **told) as change:
            change.facts["order"] = orders.place(change.db, verb, chosen, matched, upto, now(), BY, object)
    except UsageError as error:
        flash(in_words(str(error)), "problem")
        return redirect(url_for(".preview", verb=verb, filter=text))
    flash(gettext("It is being done; below you see how far it is."))
    return redirect(url_for(".show", filter=text))


def _page(text: str, problem: str, seen: Overview | None, found: list[OrderFacts]) -> str:
    return render_template(
        "operator/queue.html",
        filter=text,
        problem_text=problem,
        seen=seen,
        orders=_told(found),
        verbs=VERBS,
        says=SAYS,
        states=STATES,
        chosen=_narrowed,
        now=now(),
    )


def _narrowed(text: str, name: str, value: str) -> str:
    """The address of the page for a narrower filter; of a long answer it has the beginning."""
    conditions = (*Filter.parse(text).conditions, (name, value.splitlines()[0][:LONGEST]))
    return url_for(".show", filter=str(Filter(tuple(dict.fromkeys(conditions)))))


def _told(found: list[OrderFacts]) -> list[tuple[OrderFacts, str]]:
    return [(one, _so_far(one)) for one in found]


def _so_far(one: OrderFacts) -> str:
    """How far an order is, in words."""
    if one.finished_at is None:
        return str(gettext("%(done)s of %(matched)s so far", done=number(one.done), matched=number(one.matched)))
    parts = [ngettext("%(recipients)s recipient", "%(recipients)s recipients", one.done, recipients=number(one.done))]
    if one.changed:
        parts.append(gettext("%(recipients)s had changed meanwhile", recipients=number(one.changed)))
    if one.left_out:
        parts.append(gettext("%(recipients)s were being sent and left alone", recipients=number(one.left_out)))
    return "; ".join(parts)
