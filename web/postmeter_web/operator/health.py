"""The relay's health for the operator: what the last look found, by group, and how to mend it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, current_app, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext

from postmeter.health.finding import PROBLEM, WARNING
from postmeter.health.report import Group, report
from postmeter_web.account.published import lookup
from postmeter_web.context import now, panel

blueprint = Blueprint("health", __name__)

PATIENCE = 15.0  # seconds for all that the DNS is asked
TITLES = {
    "machine": lazy_gettext("Machine and database"),
    "relay": lazy_gettext("Relay and panel"),
    "world": lazy_gettext("What the world sees"),
}
KINDS = {"ok": "good", "warning": "warn", "problem": "bad"}  # of the badge
WORDS = {"ok": lazy_gettext("fine"), "warning": lazy_gettext("look at it"), "problem": lazy_gettext("problem")}


@dataclass
class Memory:
    """The last report of this process; one look at a time is enough."""

    groups: tuple[Group, ...] = ()
    at: float | None = None

    def __post_init__(self) -> None:
        self.busy = threading.Lock()


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """What the last look found."""
    known = memory()
    states = [one.state for group in known.groups for one in group.findings]
    return render_template(
        "operator/health.html",
        groups=known.groups,
        at=known.at,
        now=now(),
        titles=TITLES,
        kinds=KINDS,
        words=WORDS,
        problems=states.count(PROBLEM),
        warnings=states.count(WARNING),
    )


@blueprint.post("/look")
def look() -> ResponseReturnValue:
    """Look at everything again; takes seconds."""
    if not renew():
        flash(gettext("Somebody else is looking just now; reload the page in a moment."), "problem")
    return redirect(url_for("health.show"))


def memory() -> Memory:
    """What this process remembers."""
    known: dict[str, Any] = current_app.extensions
    found: Memory = known.setdefault("postmeter health", Memory())
    return found


def renew() -> bool:
    """Have a new report made; False when somebody is at it already."""
    known = memory()
    if not known.busy.acquire(blocking=False):
        return False
    try:
        known.groups, known.at = tuple(report(panel().settings, lookup(PATIENCE, fresh=0.0))), now()
    finally:
        known.busy.release()
    return True
