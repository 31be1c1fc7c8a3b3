"""The forms of an account's webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

from flask_babel import gettext, lazy_gettext, to_utc
from flask_wtf import FlaskForm
from wtforms import (
    DateTimeLocalField,
    HiddenField,
    RadioField,
    SelectField,
    SelectMultipleField,
    StringField,
    ValidationError,
)
from wtforms.validators import DataRequired, Length

from postmeter import ConnectionFacts
from postmeter_webhooks.body import CHOSEN, is_of_connection
from postmeter_webhooks.endpoints import MAX_URL

FAILED, SINCE = "failed", "since"  # what is sent again


class EndpointForm(FlaskForm):  # type: ignore[misc]
    """Whom to call, and about what; ``problem`` is shown above it."""

    problem = ""
    url = StringField(
        lazy_gettext("Address"),
        [DataRequired(), Length(max=MAX_URL)],
        description=lazy_gettext("A public https address of your system, such as https://shop.example/webhooks."),
        render_kw={"type": "url", "autocomplete": "off"},
    )
    connection = SelectField(
        lazy_gettext("Connection"),
        default="",
        description=lazy_gettext("One of a single connection is told nothing else."),
    )
    types = SelectMultipleField(lazy_gettext("Events"), choices=lambda: [(type, type) for type in CHOSEN])

    @property
    def number(self) -> int | None:
        """The connection's number; None: all of the account's."""
        return int(self.connection.data) if self.connection.data else None

    def validate_types(self, field: SelectMultipleField) -> None:
        """What is the whole account's cannot be a connection's."""
        odd = [type for type in field.data or () if self.connection.data and not is_of_connection(type)]
        if odd:
            raise ValidationError(
                gettext("%(types)s: this is about the whole account. Choose all connections.", types=", ".join(odd))
            )


def endpoint_form(connections: Sequence[ConnectionFacts]) -> EndpointForm:
    """The form of a new endpoint, for an account that has these connections."""
    form = EndpointForm()
    all_of_them = ("", gettext("All, and the account itself"))
    form.connection.choices = [all_of_them, *((str(one.id), one.name) for one in connections)]
    return form


class RenewForm(FlaskForm):  # type: ignore[misc]
    """Carries which secret was there: a form that is sent twice renews it once."""

    seen = HiddenField()


class ReplayForm(FlaskForm):  # type: ignore[misc]
    """What is to be sent again."""

    class Meta:
        """It is in the address of a page that changes nothing."""

        csrf = False

    what = RadioField(
        lazy_gettext("What"),
        choices=lambda: [(FAILED, gettext("What has failed")), (SINCE, gettext("Everything since"))],
        default=FAILED,
    )
    since = DateTimeLocalField(lazy_gettext("Since"), format=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])

    @property
    def begin(self) -> float | None:
        """Since when, in seconds since the epoch; None: what has failed, whenever that was."""
        if self.what.data != SINCE or self.since.data is None:
            return None
        return float(to_utc(self.since.data).replace(tzinfo=UTC).timestamp())

    def validate_since(self, field: DateTimeLocalField) -> None:
        """It counts only with everything."""
        if self.what.data == SINCE and field.data is None:
            raise ValidationError(gettext("Please say since when."))
