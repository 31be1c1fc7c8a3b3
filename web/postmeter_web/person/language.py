"""The language that a visitor chooses at the foot of every page: kept in the browser, and for who is logged in."""

from __future__ import annotations

from flask import Blueprint, Flask, abort, redirect, request
from flask.typing import ResponseReturnValue
from flask_login import current_user

from postmeter.store import accounts
from postmeter_web.context import changing, visitor
from postmeter_web.languages import COOKIE, LANGUAGES
from postmeter_web.person.login import safe_path

blueprint = Blueprint("language", __name__)

_YEAR = 31_536_000  # seconds


def init_app(app: Flask) -> None:
    """Have every page know where a choice of its reader's leads back to."""
    app.jinja_env.globals["page_to_return_to"] = page_to_return_to


@blueprint.post("/language")
def choose() -> ResponseReturnValue:
    """Speak this language from now on, and go back to the page."""
    chosen = request.form.get("language", "")
    if chosen not in LANGUAGES:
        abort(404)
    if current_user.is_authenticated:
        facts = visitor()
        with changing("user.preferences", facts.email, language=chosen) as change:
            accounts.set_preferences(change.db, facts.id, language=chosen, timezone=facts.timezone)
    answer = redirect(safe_path(request.form.get("next")))
    answer.set_cookie(COOKIE, chosen, max_age=_YEAR, secure=request.is_secure, httponly=True, samesite="Lax")
    return answer


def page_to_return_to() -> str:
    """The page that is being answered, if it can be fetched again; else the start page."""
    rule = request.url_rule
    if rule is None or "GET" not in (rule.methods or ()):
        return "/"
    return request.full_path.rstrip("?") if request.method == "GET" else request.path
