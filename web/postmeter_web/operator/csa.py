"""The CSA self-check: the alliance's criteria with state and evidence, and what the operator himself answers for."""

from __future__ import annotations

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext

from postmeter.errors import UsageError
from postmeter.store import csa
from postmeter_web.context import changing, now, panel, reading, visitor
from postmeter_web.operator import health
from postmeter_web.operator.criteria import BAD, CRITERIA, GOOD, OWN, UNKNOWN, WARN, Evidence
from postmeter_web.sentences import in_words

blueprint = Blueprint("csa", __name__)

WORDS = {
    GOOD: lazy_gettext("met"),
    WARN: lazy_gettext("look at it"),
    BAD: lazy_gettext("not met"),
    UNKNOWN: lazy_gettext("not known"),
}
KINDS = {GOOD: "good", WARN: "warn", BAD: "bad", UNKNOWN: "plain"}  # of the badge


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """All criteria, to be read and printed."""
    known = health.memory()
    with reading() as db:
        facts, answers = csa.facts(db, now()), csa.answers(db)
    findings = [one for group in known.groups for one in group.findings] if known.at is not None else None
    evidence = Evidence(panel().settings, facts, findings, now())
    judged = [(criterion, criterion.judge(evidence)) for criterion in CRITERIA]
    return render_template(
        "operator/csa.html",
        judged=judged,
        own=OWN,
        answers=answers,
        met=sum(one.state == GOOD for _, one in judged) + sum(answers[o.key].done for o in OWN if o.key in answers),
        looked_at=known.at,
        hostname=panel().settings.hostname,
        now=now(),
        words=WORDS,
        kinds=KINDS,
        most_note=csa.MAX_NOTE,
    )


@blueprint.post("/look")
def look() -> ResponseReturnValue:
    """Renew what the look at the health gives as evidence."""
    if not health.renew():
        flash(gettext("Somebody else is looking just now; reload the page in a moment."), "problem")
    return redirect(url_for("csa.show"))


@blueprint.post("/<key>")
def answer(key: str) -> ResponseReturnValue:
    """Keep what the operator says about a criterion of his own."""
    if key not in {own.key for own in OWN}:
        abort(404)
    done, note = "done" in request.form, request.form.get("note", "")
    try:
        with changing("csa.answer", key, done=done, note=note[: csa.MAX_NOTE]) as change:
            csa.answer(change.db, key, done, note, visitor().email, now())
    except UsageError as error:
        flash(in_words(str(error)), "problem")
    else:
        flash(gettext("Saved."))
    return redirect(url_for("csa.show", _anchor=key))
