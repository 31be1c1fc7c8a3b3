"""What the sample mails say, in German and in English; the names in braces are filled in by ``samples``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """The subject and the body of one kind of mail in one language."""

    subject: str
    body: str


GOODBYE = {
    "de": "\nViele Grüße aus der Werkstatt\n{shop}\n{site}\n",
    "en": "\nBest wishes from the workshop\n{shop}\n{site}\n",
}

CONFIRMATION = {
    "de": Text(
        "Ihre Bestellung {order}",
        "Guten Tag {name},\n\nvielen Dank für Ihre Bestellung {order}. Wir haben sie erhalten und packen sie "
        "gerade:\n\n{items}\n\nGesamtbetrag (inkl. MwSt.): {total}\n\nSobald das Paket unterwegs "
        "ist, schreiben wir Ihnen noch einmal.\n",
    ),
    "en": Text(
        "Your order {order}",
        "Dear {name},\n\nThank you for your order {order}. We have received it and are packing it right now:\n\n"
        "{items}\n\nTotal (VAT included): {total}\n\nWe will write again as soon as your parcel is on its way.\n",
    ),
}

INVOICE = {
    "de": Text(
        "Rechnung {invoice} zur Bestellung {order}",
        "Guten Tag {name},\n\nim Anhang finden Sie die Rechnung {invoice} über {total} als PDF. Der Betrag ist bereits "
        "bezahlt; Sie müssen nichts weiter tun.\n",
    ),
    "en": Text(
        "Invoice {invoice} for order {order}",
        "Dear {name},\n\nPlease find attached the invoice {invoice} over {total} as a PDF. It is paid already; there "
        "is nothing left for you to do.\n",
    ),
}

PASSWORD_RESET = {
    "de": Text(
        "Neues Passwort für Ihr Kundenkonto",
        "Guten Tag {name},\n\njemand, hoffentlich Sie, möchte das Passwort Ihres Kundenkontos ändern. Der folgende "
        "Link gilt eine Stunde lang:\n\n{site}konto/passwort/{token}\n\nWaren Sie es nicht, dann löschen Sie diese "
        "Nachricht; Ihr Passwort bleibt, wie es ist.\n",
    ),
    "en": Text(
        "A new password for your account",
        "Dear {name},\n\nSomebody, hopefully you, asked to change the password of your account. This link is valid for "
        "one hour:\n\n{site}account/password/{token}\n\nIf it was not you, just delete this message; your password "
        "stays as it is.\n",
    ),
}

SHIPPING = {
    "de": Text(
        "Ihr Päckchen ist unterwegs – Bestellung {order}",
        "Guten Tag {name},\n\nIhre Bestellung {order} hat heute früh unsere Werkstatt verlassen. Sendungsnummer: "
        "{parcel}\n\nGroße Stücke reisen in zwei Kartons; öffnen Sie sie bitte vorsichtig.\n",
    ),
    "en": Text(
        "Your parcel is on its way – order {order}",
        "Dear {name},\n\nYour order {order} left our workshop this morning. Tracking number: {parcel}\n\nLarger "
        "pieces – the “Märchen” bowls above all – travel in two boxes; please open them with care.\n",
    ),
}

OPT_IN = {
    "de": Text(
        "Bitte bestätigen Sie Ihre Anmeldung",
        "Guten Tag {name},\n\nSie möchten erfahren, wann der Brennofen wieder geöffnet wird. Bitte bestätigen Sie Ihre "
        "Adresse mit diesem Link:\n\n{site}neuigkeiten/{token}\n\nOhne Ihre Bestätigung schreiben wir Ihnen nicht "
        "wieder.\n",
    ),
    "en": Text(
        "Please confirm your subscription",
        "Dear {name},\n\nYou would like to hear when the kiln is opened again. Please confirm your address with this "
        "link:\n\n{site}news/{token}\n\nWithout your confirmation we will not write again.\n",
    ),
}

THING = {"de": "Artikel", "en": "Item"}
PRICE = {"de": "Preis", "en": "Price"}
INVOICE_TITLE = {"de": "Rechnung {invoice}", "en": "Invoice {invoice}"}
INVOICE_FILE = {"de": "Rechnung-{invoice}.pdf", "en": "Invoice-{invoice}.pdf"}
PRODUCTS: tuple[Mapping[str, str], ...] = (
    {"de": "Müslischale, blau glasiert", "en": "Cereal bowl, blue glaze"},
    {"de": "Teebecher, weiß", "en": "Tea mug, white"},
    {"de": "Krug „Lindenhof“, 1,5 l", "en": "Jug “Lindenhof”, 1.5 l"},
    {"de": "Teller, 27 cm", "en": "Plate, 27 cm"},
    {"de": "Vase, klein", "en": "Vase, small"},
)
CENTS = (1890, 1450, 4900, 2490, 1990)  # the products' prices, 0.01 EUR
