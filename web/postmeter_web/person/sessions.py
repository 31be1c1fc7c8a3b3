"""A visitor's session: one log-in in one browser, which its user can see and end."""

from __future__ import annotations

import logging
from functools import partial
from hmac import compare_digest
from typing import cast

from flask import Flask, Response, g, request, session
from flask_login import LoginManager, current_user, login_user
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from postmeter.store import accounts, logins
from postmeter.store.accounts import UserFacts
from postmeter.store.logins import LoginFacts
from postmeter_web.context import Panel, Visitor, now, panel, unlogged

log = logging.getLogger(__name__)


def init_app(app: Flask) -> None:
    """Have ``app`` know its visitors."""
    LoginManager(app).user_loader(_load)
    app.after_request(_note_seen)


def begin(db: Session, facts: UserFacts) -> None:
    """Log the user in with this answer; nothing of the visitor's old session lives on in the new one."""
    agent = request.user_agent.string
    token, login = logins.begin(db, panel().secrets, facts.id, request.remote_addr or "", agent, now())
    session.clear()
    session.permanent = True
    login_user(Visitor(facts, login, token))


def own_login() -> LoginFacts:
    """The log-in by which the visitor is here."""
    return cast(Visitor, current_user).login


def end_others(db: Session) -> None:
    """End all sessions of the visitor but this one."""
    logins.end_all(db, current_user.facts.id, keep=own_login().id)
    renew(db)


def renew(db: Session) -> None:
    """This session goes on, whatever has become of the user's epoch in this transaction."""
    db.expire_all()
    facts = accounts.user_facts(db, current_user.facts.id)
    assert facts
    login_user(Visitor(facts, own_login(), cast(Visitor, current_user).token))


def _load(session_id: str) -> Visitor | None:
    """The user of a session; None when it was ended, its time is over, or the epoch was raised since."""
    token = session_id.rpartition(".")[2]
    with panel().store.read() as db:
        login = logins.find(db, panel().secrets, token, now())
        facts = accounts.user_facts(db, login.user_id) if login else None
    if login is None or facts is None:
        return None
    found = Visitor(facts, login, token)
    return found if compare_digest(found.get_id().encode(), session_id.encode()) else None


def _note_seen(response: Response) -> Response:
    """Once a minute, when the page is sent: who has waited for it does not wait for this."""
    visitor = g.get("_login_user")  # not current_user: that would ask the database, also for an error page
    if isinstance(visitor, Visitor) and now() - visitor.login.seen_at >= logins.NEWS:
        response.call_on_close(partial(_seen, panel(), visitor.login, now()))
    return response


def _seen(parts: Panel, login: LoginFacts, at: float) -> None:
    try:
        with unlogged(parts) as db:
            logins.seen(db, login, at)
    except SQLAlchemyError as error:
        log.warning("when user %s was seen could not be noted: %s", login.user_id, error)
