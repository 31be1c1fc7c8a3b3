"""The form with which a shop is connected: made for its kind, since each has credentials of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask_babel import gettext, lazy_gettext
from flask_wtf import FlaskForm
from wtforms import BooleanField, PasswordField, StringField, ValidationError
from wtforms.validators import DataRequired, Length, Optional

from postmeter import UsageError
from postmeter_stores.kinds import Kind
from postmeter_stores.reference import MAX_PATTERN, Pattern

MAX_URL, MAX_CREDENTIAL = 2000, 500  # characters


class ShopForm(FlaskForm):  # type: ignore[misc]
    """What all kinds have in common; ``problem`` is shown above it, ``names`` and ``needs`` as ``Kind`` has them."""

    problem = ""
    names: Mapping[str, str]
    needs: Mapping[str, str]
    url = StringField(
        lazy_gettext("Address of the shop"),
        [DataRequired(), Length(max=MAX_URL)],
        description=lazy_gettext("Where its start page is, such as https://shop.example."),
        render_kw={"type": "url", "autocomplete": "off"},
    )
    pattern = StringField(
        lazy_gettext("Order pattern"),
        [Length(max=MAX_PATTERN)],
        description=lazy_gettext(
            r"Finds the order's number in mails that do not name it: a regular expression with one group, such as "
            r"Order #(\d+). Empty: the newest order of the recipient counts."
        ),
        render_kw={"autocomplete": "off", "spellcheck": "false"},
    )
    deliveries = BooleanField(lazy_gettext("Write deliveries into the order as well, not only bounces"))

    @property
    def given(self) -> dict[str, str]:
        """The credentials that were entered."""
        return {name: data for name in self.names if (data := (self[_field(name)].data or "").strip())}

    @property
    def lacking(self) -> list[str]:
        """What is to be entered besides, as the shop calls it; nothing when no credentials were entered."""
        given = self.given
        wanted = self.names if set(given) - set(self.needs) else self.needs
        return [_label(title) for name, title in wanted.items() if name not in given] if given else []

    @property
    def credentials(self) -> list[Any]:
        """The fields of the credentials."""
        return [self[_field(name)] for name in self.names]

    def validate_pattern(self, field: StringField) -> None:
        """RE2 has to take it."""
        try:
            if field.data:
                Pattern(field.data)
        except UsageError as error:
            raise ValidationError(gettext("This pattern cannot be used: %(why)s", why=error)) from None


def shop_form(kind: Kind, known: Mapping[str, Any] | None = None) -> ShopForm:
    """The form of a kind; ``known``: what is there already, whose credentials may be left as they are."""
    names = {**kind.needs, **kind.may}
    fields = {_field(name): _credential(kind, name, title, known is not None) for name, title in names.items()}
    made: ShopForm = type("KindForm", (ShopForm,), {**fields, "names": names, "needs": kind.needs})(data=known or {})
    return made


def _field(name: str) -> str:
    return f"credential_{name}"


def _label(title: str) -> str:
    title = gettext(title)
    return title[:1].upper() + title[1:]


def _credential(kind: Kind, name: str, title: str, kept: bool) -> PasswordField:
    needed = name in kind.needs and not kept
    hint = gettext("Empty: it stays as it is.") if kept else ""
    if name in kind.may and not kept:
        hint = gettext("Only if the shop wants signed requests; then all of these.")
    return PasswordField(
        _label(title),
        [DataRequired() if needed else Optional(), Length(max=MAX_CREDENTIAL), _sendable],
        description=hint,
        render_kw={"autocomplete": "off"},
    )


def _sendable(_form: ShopForm, field: PasswordField) -> None:
    if field.data and not (field.data.strip().isascii() and field.data.strip().isprintable()):
        raise ValidationError(gettext("There are characters in it that no log-in has. Please copy it once more."))
