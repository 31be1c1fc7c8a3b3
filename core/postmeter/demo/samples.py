"""The sample mails of a shop: confirmation, invoice, password reset, shipping notice and double opt-in."""

from __future__ import annotations

import html
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from functools import cache
from itertools import count

from postmeter.demo import texts
from postmeter.demo.attachments import document, logo
from postmeter.demo.texts import Text

SHOP = "Lindenhof Keramik"
FIRST_ORDER = 10_001


@dataclass(frozen=True, slots=True)
class Sample:
    """A mail as the shop hands it in."""

    reverse_path: str
    recipients: tuple[str, ...]
    content: bytes


@dataclass(frozen=True, slots=True)
class Customer:
    """Who gets mail; ``copy`` is a second address, which gets the invoices as well."""

    name: str
    address: str
    language: str
    copy: str = ""


# In this order, again and again. The recipient side refuses nobody… and unknown…, and greylists greylisted….
CUSTOMERS = (
    Customer("Anna Berger", "anna.berger@example.org", "de"),
    Customer("Tom Whitfield", "tom.whitfield@example.net", "en"),
    Customer("Jörg Müller", "joerg.mueller@post.example", "de"),
    Customer("Karin Alt", "nobody.karin@example.com", "de"),
    Customer("Sofia Lindqvist", "sofia@mail.example", "en"),
    Customer("Peter Grau", "greylisted.peter@example.org", "de"),
    Customer("Praxis Dr. Weiß", "praxis@weiss.example", "de", "buchhaltung@weiss.example"),
    Customer("Emily O'Connor", "emily@post.example", "en"),
    Customer("Guest", "unknown.guest@example.net", "en"),
    Customer("Lukas Österreicher", "lukas@mail.example", "de"),
    Customer("Grace Hughes", "grace.hughes@example.com", "en"),
    Customer("Frieda Groß", "frieda@example.org", "de"),
)


@dataclass(frozen=True, slots=True)
class Order:
    """What a mail is about; ``things`` are indexes into the products."""

    number: int
    domain: str
    customer: Customer
    things: tuple[int, ...]
    at: float

    @property
    def language(self) -> str:
        """``de`` or ``en``."""
        return self.customer.language

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Names and prices."""
        return [(texts.PRODUCTS[n][self.language], self.price(texts.CENTS[n])) for n in self.things]

    @property
    def total(self) -> str:
        """The sum."""
        return self.price(sum(texts.CENTS[n] for n in self.things))

    def price(self, cents: int) -> str:
        """As people of the customer's language write it."""
        euros = f"{cents // 100}.{cents % 100:02}"
        return f"{euros.replace('.', ',')} €" if self.language == "de" else f"€{euros}"

    def fill(self, template: str) -> str:
        """The template with this order's values."""
        return template.format(
            name=self.customer.name,
            order=self.number,
            invoice=f"R{self.number}",
            parcel=f"LH{self.number * 7919:012}",
            token=f"{self.number * 104_729:016x}",
            items="\n".join(f"  {name}  {price}" for name, price in self.lines),
            total=self.total,
            shop=SHOP,
            site=f"https://www.{self.domain}/",
        )


def samples(domain: str, clock: Callable[[], float]) -> Iterator[Sample]:
    """Mails without end from a shop whose domain this is; ``clock`` gives the seconds of their Date fields."""
    draw = random.Random(1)  # noqa: S311 - the same orders in every demo
    for n in count():
        customer = CUSTOMERS[n % len(CUSTOMERS)]
        things = tuple(draw.sample(range(len(texts.PRODUCTS)), draw.randint(1, 3)))
        order = Order(FIRST_ORDER + n, domain, customer, things, clock())
        message = KINDS[n % len(KINDS)](order)
        addresses = [address for field in ("To", "Cc") if field in message for address in message[field].addresses]
        recipients = tuple(address.addr_spec for address in addresses)
        yield Sample(f"bestellung@{domain}", recipients, message.as_bytes())


def confirmation(order: Order) -> EmailMessage:
    """Text and HTML with a picture inside: multipart/alternative with a multipart/related (RFC 2387)."""
    message = _message(order, texts.CONFIRMATION)
    picture = make_msgid("logo", order.domain)
    message.add_alternative(_page(order, picture[1:-1]), subtype="html", cte="quoted-printable")
    _, page = message.iter_parts()
    assert isinstance(page, EmailMessage)
    page.add_related(_logo(), "image", "png", cid=picture, filename="logo.png", disposition="inline")
    return message


def invoice(order: Order) -> EmailMessage:
    """Text with a PDF attached; a company's second address gets a copy."""
    message = _message(order, texts.INVOICE)
    if order.customer.copy:
        message["Cc"] = order.customer.copy
    title = order.fill(texts.INVOICE_TITLE[order.language])
    lines = [SHOP, "", order.customer.name, "", *(f"{name}: {price}" for name, price in order.lines), "", order.total]
    name = order.fill(texts.INVOICE_FILE[order.language])
    message.add_attachment(document(title, lines), "application", "pdf", filename=name)
    return message


def password_reset(order: Order) -> EmailMessage:
    """Plain text."""
    return _message(order, texts.PASSWORD_RESET)


def shipping(order: Order) -> EmailMessage:
    """Plain text as 8-bit octets (RFC 6152) under a subject with more than ASCII (RFC 2047)."""
    return _message(order, texts.SHIPPING, cte="8bit")


def opt_in(order: Order) -> EmailMessage:
    """Plain text, marked as sent by a machine (RFC 3834)."""
    message = _message(order, texts.OPT_IN)
    message["Auto-Submitted"] = "auto-generated"
    return message


KINDS: tuple[Callable[[Order], EmailMessage], ...] = (confirmation, invoice, password_reset, shipping, opt_in)


def _message(order: Order, kind: dict[str, Text], cte: str = "quoted-printable") -> EmailMessage:
    text = kind[order.language]
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(SHOP, "bestellung", order.domain)
    message["To"] = Address(order.customer.name, addr_spec=order.customer.address)
    message["Subject"] = order.fill(text.subject)
    message["Date"] = formatdate(order.at)
    message["Message-ID"] = make_msgid(str(order.number), order.domain)
    message.set_content(order.fill(text.body + texts.GOODBYE[order.language]), cte=cte)
    return message


def _page(order: Order, picture: str) -> str:
    """The confirmation as HTML; ``picture`` is the logo's Content-ID (RFC 2392)."""
    rows = "".join(
        f'<tr><td>{html.escape(name)}</td><td align="right">{price}</td></tr>\n' for name, price in order.lines
    )
    paragraphs = order.fill(texts.CONFIRMATION[order.language].body).replace("\n\n", "\n").splitlines()
    said = [html.escape(line) for line in paragraphs if line and not line.startswith("  ")]
    thing, price = texts.THING[order.language], texts.PRICE[order.language]
    return f"""<!DOCTYPE html>
<html lang="{order.language}">
<body style="font-family: sans-serif; color: #222">
<p><img src="cid:{picture}" width="64" height="64" alt="{SHOP}"></p>
<p>{said[0]}</p>
<p>{said[1]}</p>
<table cellpadding="4">
<tr><th align="left">{thing}</th><th align="right">{price}</th></tr>
{rows}</table>
<p><b>{said[2]}</b></p>
<p>{said[3]}</p>
</body>
</html>
"""


@cache
def _logo() -> bytes:
    return logo()
