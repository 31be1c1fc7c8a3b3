"""What invoices say in each language, and how numbers, amounts and days are written there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from postmeter import prices

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August"),
    *("September", "October", "November", "December"),
)


@dataclass(frozen=True)
class Texts:
    """The words of one language."""

    language: str
    invoice: str
    correction: str
    number: str
    day: str
    due: str
    account: str
    your_vat_id: str
    your_reference: str
    position: str
    item: str
    quantity: str
    price: str
    amount: str
    block: str
    overdraft: str
    period: str
    net: str
    vat: str
    gross: str
    pay: str
    pay_at: str
    corrects: str
    reverse_charge: str
    vat_id: str
    tax_number: str
    page: str
    carried: str

    def count(self, value: int) -> str:
        """A whole number with its thousands apart."""
        return self._apart(f"{value:,}")

    def money(self, value: int) -> str:
        """Cents as an amount."""
        return self._apart(_thousands(prices.decimal(value, prices.CENTS)))

    def per_mail(self, value: int) -> str:
        """A price in 0.00001."""
        return self._apart(prices.decimal(value, prices.PRICE))

    def per_cent(self, value: int) -> str:
        """A rate in hundredths of a per cent, without zeros that say nothing."""
        return self._apart(prices.decimal(value, prices.RATE).rstrip("0").rstrip("."))

    def date(self, day: date) -> str:
        """A day as it is written in a letter."""
        if self.language == "de":
            return f"{day.day:02d}.{day.month:02d}.{day.year}"
        return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"

    def _apart(self, text: str) -> str:
        return text.translate(str.maketrans(",.", ".,")) if self.language == "de" else text


def _thousands(text: str) -> str:
    whole, _, rest = text.partition(".")
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{abs(int(whole)):,}.{rest}"


ENGLISH = Texts(
    language="en",
    invoice="Invoice",
    correction="Correction of invoice",
    number="Invoice number",
    day="Date",
    due="Payable until",
    account="Account",
    your_vat_id="Your VAT ID",
    your_reference="Your reference",
    position="No.",
    item="Description",
    quantity="Mails",
    price="Price per mail",
    amount="Amount",
    block="Block of {count} mails",
    overdraft="Mails beyond all blocks",
    period="{begin} to {end}",
    net="Net amount",
    vat="VAT {rate} %",
    gross="Total",
    pay="Please pay {gross} until {due}, quoting the invoice number {number}.",
    pay_at="IBAN",
    corrects="This takes the invoice {corrects} back completely.",
    reverse_charge="Reverse charge: the recipient of the service owes the VAT.",
    vat_id="VAT ID",
    tax_number="Tax number",
    page="Page {page} of {pages}",
    carried="Carried forward",
)

GERMAN = Texts(
    language="de",
    invoice="Rechnung",
    correction="Korrektur der Rechnung",
    number="Rechnungsnummer",
    day="Datum",
    due="Zahlbar bis",
    account="Konto",
    your_vat_id="Ihre USt-IdNr.",
    your_reference="Ihre Referenz",
    position="Nr.",
    item="Beschreibung",
    quantity="E-Mails",
    price="Preis je E-Mail",
    amount="Betrag",
    block="Kontingent über {count} E-Mails",
    overdraft="E-Mails über alle Kontingente hinaus",
    period="{begin} bis {end}",
    net="Nettobetrag",
    vat="Umsatzsteuer {rate} %",
    gross="Gesamtbetrag",
    pay="Bitte zahlen Sie {gross} bis zum {due} unter Angabe der Rechnungsnummer {number}.",
    pay_at="IBAN",
    corrects="Damit wird die Rechnung {corrects} vollständig zurückgenommen.",
    reverse_charge="Steuerschuldnerschaft des Leistungsempfängers (Reverse Charge).",
    vat_id="USt-IdNr.",
    tax_number="Steuernummer",
    page="Seite {page} von {pages}",
    carried="Übertrag",
)

TEXTS = {texts.language: texts for texts in (ENGLISH, GERMAN)}
