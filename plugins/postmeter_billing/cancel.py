"""Takes invoices back: none is deleted or changed, another one with a number of its own says the opposite."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import partial

from sqlalchemy.orm import Session

from postmeter import Core
from postmeter_billing import book, customers
from postmeter_billing.invoice import Invoice, correction, invoice
from postmeter_billing.settings import BillingSettings


def cancel(core: Core, settings: BillingSettings, number: str, *, anew: bool) -> list[Invoice]:
    """Take an invoice back in a transaction of its own; see ``take_back``."""
    with core.write() as session:
        return take_back(core, settings, session, number, anew=anew)


def take_back(core: Core, settings: BillingSettings, session: Session, number: str, *, anew: bool) -> list[Invoice]:
    """Take an invoice back, and if wanted write it anew: the same lines, with address and terms as they are now.

    What it billed is never billed by a run again. UsageError when there is no such invoice, or it was taken back.
    """
    day = settings.day(core.clock())
    account_id = book.lock(session, number)
    taken_back = book.read(session, number)
    makes = [partial(correction, day=day, of=taken_back)]
    if anew:
        makes.append(_again(core, settings, session, account_id, taken_back, day))
    return [book.write(session, account_id, settings.number_prefix, day, make, core.clock()) for make in makes]


def _again(
    core: Core, settings: BillingSettings, session: Session, account_id: int, old: Invoice, day: date
) -> partial[Invoice]:
    account = core.account(session, account_id).name
    lines = tuple(replace(line, block=None) for line in old.lines)
    to = customers.get(session, account_id).addressee(account, settings.language)
    return partial(invoice, day=day, to=to, lines=lines, terms=settings.terms())
