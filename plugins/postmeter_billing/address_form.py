"""The form for whom an account's invoices are for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flask_babel import get_locale, gettext, lazy_gettext
from flask_wtf import FlaskForm
from wtforms import BooleanField, EmailField, SelectField, StringField, ValidationError
from wtforms.validators import DataRequired, Length, Optional, Regexp

from postmeter_billing.customers import Customer
from postmeter_billing.vat_id import well_formed

TEXTS = ("name", "addition", "street", "postcode", "city", "country", "vat_id", "email", "reference", "language")
_NO_COUNTRIES = {"EU", "EZ", "UN", "XA", "XB", "ZZ"}  # have two letters as well
_LINE = [Length(max=200)]
_NEEDED = [DataRequired(), *_LINE]


class AddressForm(FlaskForm):  # type: ignore[misc]
    """Name, address and what else invoices say; ``reverse_charge`` is the operator's to decide."""

    problem = ""
    name = StringField(lazy_gettext("Company or person"), _NEEDED, render_kw={"autocomplete": "organization"})
    addition = StringField(lazy_gettext("Second line of the name"), _LINE)
    street = StringField(lazy_gettext("Street and house number"), _NEEDED, render_kw={"autocomplete": "address-line1"})
    postcode = StringField(lazy_gettext("Postcode"), _NEEDED, render_kw={"autocomplete": "postal-code"})
    city = StringField(lazy_gettext("City"), _NEEDED, render_kw={"autocomplete": "address-level2"})
    country = SelectField(lazy_gettext("Country"), _NEEDED, render_kw={"autocomplete": "country"})
    vat_id = StringField(
        lazy_gettext("VAT identification number"),
        _LINE,
        description=lazy_gettext("With the two letters of its country, such as DE123456789. Empty if there is none."),
    )
    email = EmailField(
        lazy_gettext("E-mail address for invoices"),
        [
            Optional(),
            *_LINE,
            Regexp(r"[^\s@<>,;]+@[^\s@<>,;]+\Z", message=lazy_gettext("Please enter an e-mail address.")),
        ],
    )
    reference = StringField(
        lazy_gettext("Your reference"),
        _LINE,
        description=lazy_gettext("Is on every invoice: an order number, or the Leitweg-ID of an authority."),
    )
    language = SelectField(lazy_gettext("Language of the invoices"))
    reverse_charge = BooleanField(lazy_gettext("Reverse charge: the buyer owes the VAT"))

    def validate_vat_id(self, field: StringField) -> None:
        """Its form is that of its country; who owes the VAT has one."""
        value = re.sub(r"\s", "", field.data or "").upper()
        if value and not well_formed(value):
            raise ValidationError(
                gettext("This is not the form of a VAT identification number of that country, such as DE123456789.")
            )
        if not value and self.reverse_charge.data:
            raise ValidationError(gettext("With reverse charge invoices need the VAT identification number."))


def address_form(customer: Customer | None, country: str, language: str, operator: bool) -> AddressForm:
    """The form, filled with what is known; ``country`` and ``language`` are those of somebody new."""
    known = {**vars(customer.buyer), **vars(customer)} if customer else {"country": country}
    form = AddressForm(data=known)
    form.country.choices = list(_countries(known["country"]))
    form.language.choices = [("", _as_usual(language)), ("en", "English"), ("de", "Deutsch")]
    if not operator:
        form.reverse_charge.data = bool(customer and customer.reverse_charge)
    return form


def _as_usual(language: str) -> str:
    return str(gettext("as usual here (%(language)s)", language={"en": "English", "de": "Deutsch"}[language]))


def _countries(known: str) -> Iterator[tuple[str, str]]:
    """Codes and names, by name; also a code that is entered already and has none."""
    names = {
        code: name
        for code, name in get_locale().territories.items()
        if re.fullmatch("[A-Z]{2}", code) and code not in _NO_COUNTRIES
    }
    names.setdefault(known, known)
    yield from sorted(names.items(), key=lambda item: item[1])
