"""The audit log: who changed what, when and from where, in the panel and at the command line."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

from flask import Blueprint, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_timezone
from sqlalchemy.orm import Session

from postmeter.errors import UsageError
from postmeter.store import accounts, audit
from postmeter.store.audit import Entry
from postmeter_web.context import changing, now, number_asked, reading
from postmeter_web.downloads import backwards, changes, download

blueprint = Blueprint("audit", __name__)

PAGE = 50  # entries
FILTERS = ("find", "account", "action", "from", "until")


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """The changes that the filters leave, newest first."""
    given = _given(request.args)
    before = number_asked("before")
    with reading() as db:
        found = _found(db, given, before, PAGE + 1)
    chosen: dict[str, Any] = {name: value or None for name, value in given.items()}
    return render_template(
        "operator/audit.html",
        entries=found[:PAGE],
        given=given,
        filtered=any(given.values()) or before,
        now=now(),
        newer=url_for(".show", **chosen) if before else "",
        older=url_for(".show", **chosen, before=found[PAGE - 1].id) if len(found) > PAGE else "",
    )


@blueprint.post("/")
def export() -> ResponseReturnValue:
    """The same as a file; the log tells of it."""
    given = _given(request.form)
    with changing("audit.export") as change:
        change.facts.update({name: value for name, value in given.items() if value})
        return download("audit", changes(backwards(lambda db, before, limit: _found(db, given, before, limit))))


def _given(fields: Mapping[str, str]) -> dict[str, str]:
    return {name: fields.get(name, "").strip()[:100] for name in FILTERS}


def _found(db: Session, given: Mapping[str, str], before: int | None, limit: int) -> list[Entry]:
    number = None
    if given["account"]:
        try:
            number = accounts.account_by_name(db, given["account"]).id
        except UsageError:
            number = 0  # nobody's: nothing is found
    return audit.entries(
        db,
        number,
        before=before,
        find=given["find"],
        action=given["action"],
        since=_midnight(given["from"]),
        until=_midnight(given["until"], 1),
        limit=limit,
    )


def _midnight(text: str, days: int = 0) -> float | None:
    """The beginning of a day (2026-05-01), or of the one so many days later, where the visitor is; None: no day."""
    try:
        day = date.fromisoformat(text) + timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    return datetime.combine(day, time(), get_timezone()).timestamp()
