"""The form above the messages: what somebody looks for, by one box that understands most things and by filters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from flask_babel import lazy_gettext, to_user_timezone, to_utc
from flask_wtf import FlaskForm
from wtforms import DateField, SearchField, SelectChoice, SelectField, StringField
from wtforms.validators import Length, Optional

from postmeter.store.search import STATES, Found, Wanted
from postmeter_web.account import finding

TEXTS = ("recipient", "sender", "subject", "reason", "message_id", "reference", "domain", "provider")
DAY = timedelta(days=1)
_SHORT = [Length(max=300)]
_TITLES = {
    "queued": lazy_gettext("Queued"),
    "deferred": lazy_gettext("Deferred"),
    "held": lazy_gettext("Held"),
    "delivered": lazy_gettext("Delivered"),
    "bounced": lazy_gettext("Bounced"),
    "expired": lazy_gettext("Expired"),
    "suppressed": lazy_gettext("Suppressed"),
    "cancelled": lazy_gettext("Cancelled"),
}
MEANT = {  # what the text in the box was taken for
    "id": lazy_gettext("Found by the message's number."),
    "recipient": lazy_gettext("Found by the recipient."),
    "message_id": lazy_gettext("Found by the Message-ID."),
    "sender": lazy_gettext("Found by the sender."),
    "reference": lazy_gettext("Found by the reference."),
    "subject": lazy_gettext("Found by the subject."),
}


@dataclass(frozen=True)
class Choices:
    """What the lists of the form offer; connections by number and name."""

    connections: tuple[tuple[int, str], ...]
    domains: tuple[str, ...]
    providers: tuple[str, ...]


class SearchForm(FlaskForm):  # type: ignore[misc]
    """Sent by GET, so that a search can be kept as a bookmark."""

    NAMES = ("find", "state", *TEXTS, "since", "until", "connection")

    class Meta:
        """It changes nothing."""

        csrf = False

    find = SearchField(lazy_gettext("Find"), _SHORT)
    state = SelectField(
        lazy_gettext("State"),
        choices=[SelectChoice("", lazy_gettext("All states")), *(SelectChoice(*one) for one in _TITLES.items())],
        validate_choice=False,
    )
    recipient = StringField(lazy_gettext("Recipient or @domain"), _SHORT)
    sender = StringField(lazy_gettext("Sender or @domain"), _SHORT)
    subject = StringField(lazy_gettext("Words of the subject"), _SHORT)
    reason = StringField(lazy_gettext("Words of the last answer"), _SHORT)
    message_id = StringField("Message-ID", _SHORT)
    reference = StringField(lazy_gettext("Reference, such as order:1234"), _SHORT)
    since = DateField(lazy_gettext("From day"), [Optional()])
    until = DateField(lazy_gettext("To day"), [Optional()])
    connection = SelectField(lazy_gettext("Connection"), _SHORT, validate_choice=False)
    domain = SelectField(lazy_gettext("Sending domain"), _SHORT, validate_choice=False)
    provider = SelectField(lazy_gettext("Receiving provider"), _SHORT, validate_choice=False)

    def offer(self, choices: Choices) -> None:
        """Fill the lists; what was asked for stays chosen, whether or not it is among them."""
        everything = SelectChoice("", lazy_gettext("All"))
        self.connection.choices = [
            everything,
            *(SelectChoice(str(number), name) for number, name in choices.connections),
        ]
        for field, names in ((self.domain, choices.domains), (self.provider, choices.providers)):
            asked = {field.data} - {"", None}
            field.choices = [everything, *(SelectChoice(name) for name in sorted(asked | {*names}))]

    @property
    def narrowed(self) -> bool:
        """Whether one of the further filters is used."""
        return any(getattr(self, name).data for name in (*TEXTS, "since", "until", "connection"))

    def text_of(self, name: str) -> str:
        """What a field says; nothing when that is wrong: too long a text is no search that a database could do."""
        return "" if name in self.errors else (getattr(self, name).data or "").strip()

    def wanted(self) -> Wanted:
        """What the filters say; those that are wrong say nothing (``errors`` has them)."""
        texts = {name: self.text_of(name) for name in TEXTS}
        number = self.connection.data or ""
        return Wanted(
            **texts,
            state=self.state.data if self.state.data in STATES else "",
            connection_id=int(number) if number.isdecimal() and len(number) < 18 else None,
            since=_midnight(self.since.data),
            until=_midnight(self.until.data + DAY) if self.until.data and self.until.data < date.max else None,
        )


@dataclass(frozen=True)
class Looked:
    """What was found, by what, and the field that the text in the box was taken for (empty: there was none)."""

    found: Found
    wanted: Wanted
    taken_for: str

    @property
    def meant(self) -> str:
        """How the text in the box was understood, in the visitor's language."""
        return str(MEANT[self.taken_for]) if self.taken_for else ""

    def fields(self) -> dict[str, Any]:
        """The fields of the form that ask for just this: the text in the box has become a filter."""
        wanted = self.wanted
        shown = {name: getattr(wanted, name) for name in (*TEXTS, "state")}
        days = {"since": _day(wanted.since), "until": _day(wanted.until, -DAY)}
        number = "" if wanted.connection_id is None else str(wanted.connection_id)
        return {name: text for name, text in {**shown, **days, "connection": number, "find": wanted.id}.items() if text}


def look(form: SearchForm, search: Callable[[Wanted], Found]) -> Looked:
    """Try what the text in the box may stand for, one after the other, until something is found."""
    form.validate()
    filters, found = form.wanted(), Found(())
    reading: dict[str, Any] = {}
    for reading in finding.readings(form.text_of("find")):
        found = search(replace(filters, **reading))
        if found.hits:
            break
    return Looked(found, replace(filters, **reading), next(iter(reading), ""))


def _midnight(day: date | None) -> float | None:
    """When a day begins where the visitor is, in seconds since the epoch."""
    return to_utc(datetime.combine(day, time())).replace(tzinfo=UTC).timestamp() if day else None


def _day(at: float | None, shift: timedelta = timedelta()) -> str:
    """The day that began at a moment where the visitor is (``shift``: or one before or after it)."""
    return "" if at is None else (to_user_timezone(datetime.fromtimestamp(at, UTC)).date() + shift).isoformat()
