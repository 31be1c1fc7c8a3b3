"""An account's messages: looked for, followed one by one, and taken away as a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import Blueprint, abort, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from postmeter.csv_file import Cell
from postmeter.message.identifier import is_id
from postmeter.store import charges, connections, domains, statistics, timeline
from postmeter.store.search import Found, Hit, Place, Wanted, search
from postmeter_web.access import VIEW, needs, own_pages
from postmeter_web.account import reasons, state
from postmeter_web.account.message_search import Choices, Looked, SearchForm, look
from postmeter_web.account.message_steps import seconds, steps
from postmeter_web.context import changing, now, panel, reading
from postmeter_web.downloads import MOST, download
from postmeter_web.show import iso

blueprint = own_pages(Blueprint("messages", __name__))
blueprint.add_app_template_filter(state.state_kind)
blueprint.add_app_template_filter(state.state_word)

PAGE = 50  # rows of a page
PART = 1_000  # rows of a file that are read at a time
SEEN = 32 * 86_400  # seconds that a receiving provider stays in the list
HEADS = (
    *("accepted_at", "message", "recipient", "state", "ended_at", "attempts", "provider", "last_answer"),
    *("subject", "from_domain", "return_path", "sending_domain", "connection", "message_id", "reference"),
)


@dataclass(frozen=True)
class Row:
    """A line of the list: what was found, and one sentence why, unless it was delivered."""

    hit: Hit
    why: str


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """The form, and a page of what was found."""
    form = SearchForm(request.args)
    with reading() as db:
        form.offer(_choices(db))
        looked = look(form, partial(_search, db, before=_before()))
    hits = looked.found.hits
    if looked.taken_for == "id" and hits:
        return redirect(url_for(".show_one", message_id=hits[0].message_id))
    return render_template(
        "account/messages.html",
        form=form,
        looked=looked,
        rows=[Row(hit, _short(hit)) for hit in hits],
        newest=url_for(".show", **_asked()) if "before" in request.args else "",
        older=_older(looked),
        asked=_asked(),
        now=now(),
    )


@blueprint.post("/export")
@needs(VIEW)
def export() -> ResponseReturnValue:
    """The same search as a file, as far as it goes; the log tells of it."""
    form = SearchForm(request.form)
    with reading() as db:
        wanted = look(form, partial(_search, db, before=None)).wanted
    with changing("messages.export") as change:
        change.facts["wanted"] = {name: value for name, value in vars(wanted).items() if value not in ("", None)}
    return download("messages", _lines(g.account.id, wanted))


@blueprint.get("/<message_id>")
def show_one(message_id: str) -> ResponseReturnValue:
    """One message: what it is, what became of its recipients, and all that happened."""
    return render_template("account/message.html", **_facts(message_id))


@blueprint.get("/<message_id>/live")
def live(message_id: str) -> ResponseReturnValue:
    """The part of that page that changes as long as somebody waits."""
    return render_template("account/_message.html", **_facts(message_id))


def _facts(message_id: str) -> dict[str, Any]:
    if not is_id(message_id):
        abort(404)
    with reading() as db:
        message = timeline.message_facts(db, message_id, g.account.id)
        if message is None:
            abort(404)
        paid = charges.payments(db, g.account.id, message_id)
        named = {one.id: one.name for one in connections.connections_of(db, g.account.id)}
    taken = steps(message)
    stages = {step.recipient: step.stage for step in taken if step.stage}
    return {
        "message": message,
        "connection": named.get(message.connection_id, ""),
        "why": {one.n: reasons.why(one.reply, stages.get(one.n, ""), one.state) for one in message.recipients},
        "paid": paid,
        "lifetime": seconds(message.handling.lifetime) if message.handling.lifetime else "",
        "steps": taken,
        "waits": any(one.next_attempt_at is not None for one in message.recipients),
        "now": now(),
    }


def _choices(db: Session) -> Choices:
    account = g.account.id
    return Choices(
        tuple((one.id, one.name) for one in connections.connections_of(db, account)),
        tuple(one.name for one in domains.domains_of(db, account)),
        tuple(one.of for one in statistics.by_provider(db, account, now() - SEEN) if one.of),
    )


def _search(db: Session, wanted: Wanted, *, before: Place | None) -> Found:
    return search(db, g.account.id, wanted, before=before, limit=PAGE)


def _before() -> Place | None:
    """Where the page begins; 404 for what no page has linked to."""
    if "before" not in request.args:
        return None
    try:
        return Place.parse(request.args["before"])
    except ValueError:
        abort(404)


def _short(hit: Hit) -> str:
    return "" if hit.state == "delivered" else reasons.why(hit.reply, "", hit.state)


def _asked() -> dict[str, Any]:
    """What was asked for, without the place in the list."""
    return {name: request.args[name] for name in SearchForm.NAMES if request.args.get(name)}


def _older(looked: Looked) -> str:
    """Where the list goes on, by what was found: so that it stays the same list."""
    if looked.found.older is None:
        return ""
    return url_for(".show", **looked.fields(), before=str(looked.found.older))


def _lines(account_id: int, wanted: Wanted) -> Iterator[tuple[Cell, ...]]:
    """The heads and the rows, read part by part, each in a transaction of its own, so that nothing is held up."""
    yield HEADS
    place: Place | None = None
    left = MOST
    while left > 0:
        with panel().store.read() as db:
            part = search(db, account_id, wanted, before=place, limit=min(PART, left))
        yield from map(_line, part.hits)
        left -= len(part.hits)
        if part.older is None:
            return
        place = part.older


def _line(hit: Hit) -> tuple[Cell, ...]:
    return (
        *(iso(hit.accepted_at), hit.message_id, hit.forward_path, hit.state, iso(hit.final_at) if hit.final_at else ""),
        *(hit.attempts, hit.provider, hit.reply, hit.subject, hit.header_from, hit.reverse_path, hit.domain),
        *(hit.connection, hit.header_message_id, hit.reference),
    )
