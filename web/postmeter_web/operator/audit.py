"""The audit log: who changed what, when and from where, in the panel and at the command line."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

from flask import Blueprint, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_timezone

from postmeter.errors import UsageError
from postmeter.store import accounts, audit
from postmeter_web.context import now, number_asked, reading

blueprint = Blueprint("audit", __name__)

PAGE = 50  # entries
FILTERS = ("find", "account", "action", "from", "until")


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """The changes that the filters leave, newest first."""
    given = {name: request.args.get(name, "").strip()[:100] for name in FILTERS}
    before = number_asked("before")
    with reading() as db:
        number = None
        if given["account"]:
            try:
                number = accounts.account_by_name(db, given["account"]).id
            except UsageError:
                number = 0  # nobody's: nothing is found
        found = audit.entries(
            db,
            number,
            before=before,
            find=given["find"],
            action=given["action"],
            since=_midnight(given["from"]),
            until=_midnight(given["until"], 1),
            limit=PAGE + 1,
        )
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


def _midnight(text: str, days: int = 0) -> float | None:
    """The beginning of a day (2026-05-01), or of the one so many days later, where the visitor is; None: no day."""
    try:
        day = date.fromisoformat(text) + timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    return datetime.combine(day, time(), get_timezone()).timestamp()
