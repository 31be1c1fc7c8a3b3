"""A relay that bills: an operator's settings, customers with addresses, blocks, and an overdraft to be invoiced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import select

from postmeter import Core
from postmeter.config import Block as BlockSettings
from postmeter.config import Settings
from postmeter.store.engine import Store
from postmeter.store.quota import book_block
from postmeter.store.tables import Account
from postmeter_billing import book, customers, tables
from postmeter_billing.book import Entry
from postmeter_billing.customers import Customer
from postmeter_billing.invoice import Addressee, Buyer, Invoice, Line, Terms, invoice, priced
from postmeter_billing.run import Outcome, Run
from postmeter_billing.settings import BillingSettings
from support.tenants import NOW, SECRETS, make_account

DAY = 86_400.0
TODAY = date(2027, 1, 15)  # of NOW, in UTC
SELLER = {
    "seller_name": "Elbe Hosting GmbH",
    "seller_street": "Lagerstraße 12",
    "seller_postcode": "20357",
    "seller_city": "Hamburg",
    "seller_country": "DE",
    "seller_vat_id": "DE123456789",
    "seller_tax_number": "22/333/4444",
    "seller_register": "HRB 12345, Amtsgericht Hamburg",
    "seller_contact": "Buchhaltung",
    "seller_phone": "+49 40 1234567",
    "seller_email": "billing@elbe.example",
    "seller_bank": "Elbebank",
    "seller_iban": "DE02 1203 0000 0000 2020 51",
    "seller_bic": "BYLADEM1001",
}
SETTINGS = BillingSettings(billing_day=15, **SELLER)
ADDRESS = {
    "name": "Gasthof Lindenhof OHG",
    "street": "Dorfstraße 3",
    "postcode": "87561",
    "city": "Oberstdorf",
    "country": "DE",
    "vat_id": "DE987654321",
    "email": "rechnung@lindenhof.example",
    "reference": "04011000-12345-67",
}
BUYER = Buyer(**ADDRESS)
TERMS = SETTINGS.terms()


@dataclass
class Office:
    """A store with the plugin's tables, and shortcuts to what tests do with them; ``now`` is the time."""

    store: Store
    settings: BillingSettings = SETTINGS
    now: float = NOW
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the plugin's tables."""
        self.lent = self.store.lend("billing")
        with self.store.write() as session:
            tables.first_tables(session.connection())

    @property
    def core(self) -> Core:
        """What the plugin works with."""
        return Core("billing", Settings(), self.settings, self.lent, SECRETS, lambda: self.now)

    def open(self, name: str = "acme", *sizes: int, overdraft: int = 0, address: bool = True, **changes: Any) -> int:
        """An account that has booked blocks and sent more than it has, and the address of its invoices."""
        with self.store.write() as session:
            account = make_account(session, name)
            account.overdraft = overdraft
            for size in sizes:
                book_block(session, account.id, size, BlockSettings(), self.now)
            account_id = account.id
        if address:
            self.enter(account_id, **ADDRESS | changes)
        return account_id

    def enter(self, account_id: int, **changes: Any) -> None:
        """The address of an account's invoices, or changes of it."""
        with self.store.write() as session:
            account = self.core.account(session, account_id)
            customers.enter(session, account, changes, self.settings.begin(self.now))

    def customer(self, account_id: int) -> Customer:
        """What is kept of an account for its invoices."""
        with self.store.read() as session:
            return customers.get(session, account_id)

    def begin(self, account_id: int, day: date) -> None:
        """Nothing from before that day is to be billed."""
        with self.store.write() as session:
            customers.begin_at(self.core, session, account_id, self.settings.start(day))

    def book(self, account_id: int, size: int) -> int:
        """A block that is booked now."""
        with self.store.write() as session:
            return book_block(session, account_id, size, BlockSettings(), self.now)

    def overdraw(self, account_id: int, units: int) -> None:
        """Mails beyond all blocks."""
        with self.store.write() as session:
            session.get_one(Account, account_id).overdraft += units

    def overdraft(self, account_id: int) -> int:
        """The mails beyond all blocks that are on no invoice."""
        with self.store.read() as session:
            account = session.get_one(Account, account_id)
            return account.overdraft - account.invoiced

    def run(self, day: date | None = None, account: str | None = None) -> list[Outcome]:
        """A billing run."""
        return list(Run.of(self.core, self.settings, day).bill(account))

    def entries(self) -> list[Entry]:
        """All invoices."""
        with self.store.read() as session:
            return book.entries(session, None, None, None)

    def invoice(self, number: str) -> Invoice:
        """The invoice of that number."""
        with self.store.read() as session:
            return book.read(session, number)

    def blocks_billed(self) -> list[int]:
        """The blocks that are on invoices, each as often as it is there."""
        with self.store.read() as session:
            block = tables.line.c.block_id
            return list(session.scalars(select(block).where(block.is_not(None)).order_by(block)))


def an_invoice(
    sizes: Sequence[int] = (25_000,),
    overdraft: int = 0,
    *,
    language: str = "en",
    buyer: Buyer = BUYER,
    terms: Terms = TERMS,
    reverse_charge: bool = False,
) -> Invoice:
    """An invoice without any database."""
    price = SETTINGS.price_list.of_block
    items = [
        Line("block", f"Block of {size:,} mails", size, price(size), TODAY, date(2027, 2, 14), block)
        for block, size in enumerate(sizes, 1)
    ]
    items += [Line("overdraft", "Mails beyond", overdraft, 95, date(2026, 12, 15), TODAY)] if overdraft else []
    to = Addressee("acme", language, buyer, reverse_charge)
    return invoice("2027-000001", TODAY, to, priced(items), terms)
