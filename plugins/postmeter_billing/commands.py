"""`postmeter billing`: whom invoices are for, the billing run, and what it has written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import IO, Any, TypeVar

import click

from postmeter import Core, console, pass_core, prices
from postmeter_billing import book, cancel, customers
from postmeter_billing.book import Entry
from postmeter_billing.customers import Customer
from postmeter_billing.export import FORMATS
from postmeter_billing.invoice import Invoice, to_json
from postmeter_billing.run import NOTHING, Outcome, Run
from postmeter_billing.settings import LANGUAGES, BillingSettings, own

_TEXTS = (
    ("name", "Name of the company or person."),
    ("addition", "Second line of the name."),
    ("street", "Street and house number."),
    ("postcode", "Postcode."),
    ("city", "City."),
    ("country", "Country, two letters."),
    ("vat-id", "VAT identification number."),
    ("email", "E-mail address for invoices (XRechnung needs it)."),
    ("reference", "What the buyer wants to read on them; for authorities the Leitweg-ID (XRechnung needs it)."),
)
_DAY = click.DateTime(["%Y-%m-%d"])


Function = TypeVar("Function", bound=Callable[..., Any])


def _text_options(function: Function) -> Function:
    for name, meaning in reversed(_TEXTS):
        click.option(f"--{name}", help=meaning)(function)
    return function


@click.group()
def billing() -> None:
    """Invoices."""


@billing.command()
@click.argument("account")
@_text_options
@click.option("--language", type=click.Choice(LANGUAGES), help="Language of the invoices.")
@click.option("--reverse-charge/--no-reverse-charge", default=None, help="The buyer owes the VAT.")
@click.option(
    "--from",
    "since",
    type=_DAY,
    metavar="DATE",
    help="Bill no block that was booked before it, and no mail beyond all blocks until now.",
)
@console.json_option
@pass_core
def address(core: Core, /, account: str, since: datetime | None, as_json: bool, **given: str | bool | None) -> None:
    """Print whom an account's invoices are for; with options, enter or change it."""
    changes = {name: value for name, value in given.items() if value is not None}
    settings, now = own(core), core.clock()
    with core.write() if changes or since else core.read() as session:
        of = core.account(session, account)
        if changes:
            customers.enter(session, of, changes, settings.begin(now))
        if since:
            customers.begin_at(core, session, of.id, settings.start(settings.past(since.date(), now)))
        facts = _facts(customers.get(session, of.id), settings)
    told = [(name.replace("_", " ").capitalize(), value) for name, value in facts.items() if value]
    console.show(as_json, facts, console.pairs(told))


@billing.command()
@click.option("--date", "day", type=_DAY, metavar="DATE", help="The day of the invoices; today without it.")
@click.option("--account", metavar="NAME", help="Of one account only.")
@console.json_option
@click.pass_context
@pass_core
def run(core: Core, context: click.Context, day: datetime | None, account: str | None, as_json: bool) -> None:
    """Write the invoices of everybody who was not billed for that day yet; the exit code is 1 if one has failed."""
    outcomes = list(Run.of(core, own(core), day.date() if day else None).bill(account))
    data = [{**console.plain(outcome), "gross": prices.decimal(outcome.gross, prices.CENTS)} for outcome in outcomes]
    console.show(as_json, data, _told(outcomes))
    if any(one.failed for one in outcomes):
        context.exit(1)


@billing.command(name="list")
@click.option("--account", metavar="NAME", help="Of one account only.")
@click.option("--from", "since", type=_DAY, metavar="DATE", help="Not before that day.")
@click.option("--to", "until", type=_DAY, metavar="DATE", help="Not after that day.")
@console.json_option
@pass_core
def list_(core: Core, account: str | None, since: datetime | None, until: datetime | None, as_json: bool) -> None:
    """Print the invoices, in the order of their numbers."""
    with core.read() as session:
        account_id = None if account is None else core.account(session, account).id
        found = book.entries(session, account_id, since and since.date(), until and until.date())
        names = {one.id: one.name for one in core.accounts(session)}
    data = [_row(entry, names) for entry in found]
    heads = ("Number", "Date", "Account", "Net", "VAT", "Total", "Takes back")
    console.show(as_json, data, console.table(heads, [[value or "" for value in row.values()] for row in data]))


@billing.command()
@click.argument("number")
@console.json_option
@pass_core
def show(core: Core, number: str, as_json: bool) -> None:
    """Print an invoice."""
    with core.read() as session:
        found = book.read(session, number)
    click.echo(to_json(found) if as_json else _shown(found))


@billing.command()
@click.argument("number")
@click.option("--format", "kind", type=click.Choice(list(FORMATS)), default="pdf", show_default=True)
@click.option(
    "--output", type=click.File("wb", lazy=True), default="-", metavar="FILE", help="Standard output if absent."
)
@pass_core
def export(core: Core, number: str, kind: str, output: IO[bytes]) -> None:
    """Write an invoice to a file."""
    with core.read() as session:
        found = book.read(session, number)
    made = FORMATS[kind](found)
    output.write(made)


@billing.command(name="cancel")
@click.argument("number")
@click.option("--anew", is_flag=True, help="Write it anew, with address and terms as they are now.")
@console.json_option
@pass_core
def cancel_(core: Core, number: str, anew: bool, as_json: bool) -> None:
    """Take an invoice back by one that says the opposite."""
    written = cancel.cancel(core, own(core), number, anew=anew)
    data = [
        {"number": one.number, "corrects": one.corrects, "gross": prices.decimal(one.gross, prices.CENTS)}
        for one in written
    ]
    console.show(as_json, data, console.table(("Number", "Takes back", "Total"), [list(row.values()) for row in data]))


def _facts(customer: Customer, settings: BillingSettings) -> dict[str, Any]:
    facts = console.plain(customer.buyer)
    return {
        **facts,
        "language": customer.language,
        "reverse_charge": customer.reverse_charge,
        "from": customer.begins_at and settings.day(customer.begins_at).isoformat(),
        "billed_for": customer.billed_for.isoformat(),
    }


def _told(outcomes: list[Outcome]) -> str:
    worth = [one for one in outcomes if one.why != NOTHING]
    rows = [
        (one.account, one.number or one.why, prices.decimal(one.gross, prices.CENTS) if one.number else "")
        for one in worth
    ]
    return console.table(("Account", "Invoice", "Total"), rows) if rows else "There is nothing to bill."


def _row(entry: Entry, names: dict[int, str]) -> dict[str, str | None]:
    return {
        "number": entry.number,
        "date": entry.day,
        "account": names.get(entry.account_id, ""),
        "net": prices.decimal(entry.net, prices.CENTS),
        "vat": prices.decimal(entry.vat, prices.CENTS),
        "gross": prices.decimal(entry.gross, prices.CENTS),
        "corrects": entry.corrects,
    }


def _shown(of: Invoice) -> str:
    facts = [("Number", of.number), ("Date", of.day), ("Payable until", of.due), ("Account", of.account)]
    facts += [("Takes back", of.corrects)] if of.corrects else []
    facts += [("Recipient", ", ".join((of.buyer.name, of.buyer.street, f"{of.buyer.postcode} {of.buyer.city}")))]
    sums = [
        ("Net", f"{prices.decimal(of.net, prices.CENTS)} {of.currency}"),
        (f"VAT {prices.decimal(of.rate, prices.RATE)} %", f"{prices.decimal(of.vat, prices.CENTS)} {of.currency}"),
        ("Total", f"{prices.decimal(of.gross, prices.CENTS)} {of.currency}"),
    ]
    heads = ("Description", "From", "To", "Mails", "Price", "Amount")
    rows = [
        (
            line.text,
            line.begin,
            line.end,
            line.quantity,
            prices.decimal(line.price, prices.PRICE),
            prices.decimal(line.amount, prices.CENTS),
        )
        for line in of.lines
    ]
    return f"{console.pairs(facts)}\n\n{console.table(heads, rows)}\n\n{console.pairs(sums)}"
