"""A connection's access data: found for the account only, shown with the settings card, the password once."""

from __future__ import annotations

import secrets
from typing import Any

from flask import abort, g
from flask_babel import gettext, lazy_gettext
from sqlalchemy.orm import Session
from wtforms import HiddenField, RadioField

from postmeter.endpoint import Endpoint
from postmeter.store import connection_changes, connections
from postmeter.store.connection_changes import SecretRequest, issue, mark
from postmeter.store.connections import ConnectionFacts
from postmeter_web.account import cards
from postmeter_web.account.cards import Card
from postmeter_web.context import changing, now, panel, reading
from postmeter_web.forms import Form
from postmeter_web.languages import language

HOUR = 3600
OVERLAPS = (  # seconds for which the old password stays valid
    (0, lazy_gettext("Not at all: it ends at once")),
    (HOUR, lazy_gettext("One hour")),
    (24 * HOUR, lazy_gettext("One day")),
    (7 * 24 * HOUR, lazy_gettext("Seven days")),
)


class Reveal(Form):
    """The wish for a new password; what it carries makes that a form sent twice renews once."""

    seen = HiddenField()
    key = HiddenField(default=lambda: secrets.token_urlsafe(16))
    keep = RadioField(
        lazy_gettext("The old password stays valid for"),
        choices=lambda: list(OVERLAPS),
        coerce=int,
        default=24 * HOUR,
        description=lazy_gettext(
            "Long enough to enter the new one everywhere. If somebody else knows it, end it at once."
        ),
    )


def found(number: int) -> ConnectionFacts:
    """The account's connection of that number."""
    with reading() as db:
        return connections.facts_of(db, row(db, number))


def row(db: Session, number: int, *, lock: bool = False) -> Any:
    """The same as a row, for the store's functions that change it."""
    return connections.connection_by_id(db, g.account.id, number, lock=lock) or abort(404)


def new_form(number: int) -> Reveal:
    """The form on a page that offers a new password."""
    with reading() as db:
        return Reveal(formdata=None, seen=mark(row(db, number)))


def reveal(number: int, form: Reveal, *, keep: float) -> str:
    """Make the password that the form asks for, and give it to be shown; UsageError when it is not to be had."""
    with changing("connection.secret", keep_hours=keep / HOUR) as change:
        locked = row(change.db, number, lock=True)
        change.subject, before = locked.name, mark(locked)
        wanted = SecretRequest(form.seen.data or "", form.key.data or "", keep)
        password = issue(change.db, panel().secrets, locked, wanted, now())
        change.facts["repeated"] = mark(locked) == before
    return password


def shown(facts: ConnectionFacts, password: str = "", system: str = "") -> dict[str, Any]:
    """What a template shows of the access data, with the card; without the password, words stand for it."""
    where = Endpoint.of(panel().settings)
    return {
        "connection": facts,
        "where": where,
        "password": password,
        "card": _card(facts, where, password or gettext("YOUR-PASSWORD"), system or facts.system),
        "systems": cards.systems(language()),
        "overlap": connection_changes.SHOWN,
        "now": now(),
    }


def _card(facts: ConnectionFacts, where: Endpoint, password: str, system: str) -> Card:
    """The settings card; without a port for STARTTLS, which all others are about, that of any system."""
    domain = facts.domains[0] if facts.domains else "example.org"
    system = system if where.port else cards.OTHER
    access = cards.access_at(where, facts.username, password, domain)
    return cards.card(system, access, language())
