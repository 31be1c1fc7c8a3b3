"""The billing run: for each account one transaction that finds what is to be billed, numbers it and writes it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

from sqlalchemy.orm import Session

from postmeter import AccountFacts, Booking, Core, PostmeterError
from postmeter_billing import book, customers
from postmeter_billing.customers import Customer
from postmeter_billing.invoice import BLOCK, OVERDRAFT, Invoice, Line, invoice, priced
from postmeter_billing.settings import BillingSettings
from postmeter_billing.texts import TEXTS, Texts

log = logging.getLogger(__name__)

DEMO = "demo"
NOTHING = "nothing to bill"
NO_ADDRESS = "no billing address"
BILLED = "billed already"


@dataclass(frozen=True)
class Outcome:
    """What a billing run did for an account: the invoice's number and sum in cents, or why there is none.

    ``failed``: because of a defect, which the log has in full.
    """

    account: str
    number: str = ""
    gross: int = 0
    why: str = ""
    failed: bool = False


@dataclass(frozen=True)
class Run:
    """A billing run: invoices of ``day`` for everybody whom no run has dealt with for the date ``due``.

    It bills what was booked until ``until`` (seconds since the epoch); what comes later is for the next run. Of
    mails beyond all blocks only the number is told, not when they were sent: they are billed while ``day`` lasts. Each
    account is its own transaction, so a run that is broken off goes on where it was, and two at once share the work.
    """

    core: Core
    settings: BillingSettings
    day: date
    due: date
    until: float

    @classmethod
    def of(cls, core: Core, settings: BillingSettings, day: date | None = None) -> Run:
        """A run for a day (today when None); UsageError when that is to come or the settings do not say enough."""
        settings.terms()
        now = core.clock()
        day = settings.past(day or settings.day(now), now)
        return cls(core, settings, day, day, min(now, settings.end(day)))

    def scheduled(self) -> Run:
        """The same for the last billing date."""
        return replace(self, due=self.settings.billing_date(self.day))

    def bill(self, account: str | None = None) -> Iterator[Outcome]:
        """Bill an account, or all of them; what fails for one keeps nobody else from being billed.

        UsageError when the day is before that of an invoice of the year.
        """
        with self.core.read() as session:
            book.check_day(session, self.day)
            found = self.core.accounts(session) if account is None else [self.core.account(session, account)]
        return (self._tried(one) for one in found)

    def preview(self, session: Session, account: AccountFacts) -> tuple[Line, ...]:
        """What the account's invoice would have if it were written now; nothing counts as billed."""
        customer = customers.find(session, account.id)
        language, begins_at, since = "", None, account.created_at
        if customer:
            language, begins_at, since = customer.language, customer.begins_at, customer.overdraft_since
        texts = TEXTS[language or self.settings.language]
        blocks = [self._block(booking, texts) for booking in self._blocks(session, account.id, begins_at)]
        return priced([*blocks, *self._beyond(account.overdraft, since, texts)])

    def next_day(self, customer: Customer | None) -> date:
        """The day of the next invoice: today when the run of the last billing date has not dealt with the customer."""
        late = customer is not None and customer.billed_for < self.settings.billing_date(self.day)
        return self.day if late else self.settings.next_billing_date(self.day)

    def without_address(self) -> list[str]:
        """The names of the accounts that are not billed since nobody has entered whom their invoices are for."""
        with self.core.read() as session:
            unknown = [one for one in self.core.accounts(session) if customers.find(session, one.id) is None]
            return [account.name for account in unknown if self._owes(session, account)]

    @property
    def _day_is_over(self) -> bool:
        return self.until >= self.settings.end(self.day)

    def _tried(self, account: AccountFacts) -> Outcome:
        try:
            return self._bill(account)
        except PostmeterError:  # what was asked for cannot be, whoever is billed
            raise
        except Exception as error:
            log.exception("the account %s could not be billed", account.name)
            first_line = str(error).partition("\n")[0]
            return Outcome(account.name, why=f"failed: {type(error).__name__}: {first_line}", failed=True)

    def _bill(self, account: AccountFacts) -> Outcome:
        with self.core.write() as session:
            customer = customers.find(session, account.id, lock=True)
            if customer is None:
                return Outcome(account.name, why=NO_ADDRESS if self._owes(session, account) else NOTHING)
            if not customers.claim(session, account.id, self.due, self.day):
                return Outcome(account.name, why=BILLED)
            lines = self._lines(session, customer)
            if not lines:
                return Outcome(account.name, why=NOTHING)
            written = self._write(session, account, customer, lines)
            return Outcome(account.name, written.number, written.gross)

    def _lines(self, session: Session, customer: Customer) -> tuple[Line, ...]:
        """What is to be billed; nothing, and nothing counts as billed, when it is less than half a cent."""
        texts = TEXTS[customer.language or self.settings.language]
        with session.begin_nested() as attempt:
            blocks = [
                self._block(booking, texts)
                for booking in self._blocks(session, customer.account_id, customer.begins_at)
            ]
            lines = priced([*blocks, *self._overdraft(session, customer, texts)])
            if lines and not any(line.amount for line in lines):
                attempt.rollback()
                return ()
            return lines

    def _owes(self, session: Session, account: AccountFacts) -> bool:
        return bool(self._blocks(session, account.id)) or (account.overdraft > 0 and not self._day_is_over)

    def _blocks(self, session: Session, account_id: int, since: float | None = None) -> list[Booking]:
        """The blocks that were booked or renewed (since that instant), and are on no invoice."""
        booked = [
            booking
            for booking in self.core.bookings(session, account_id)
            if booking.kind != DEMO and (since or 0.0) <= booking.booked_at <= self.until
        ]
        billed = book.billed(session, [booking.block_id for booking in booked])
        return [booking for booking in booked if booking.block_id not in billed]

    def _block(self, booking: Booking, texts: Texts) -> Line:
        return Line(
            kind=BLOCK,
            text=texts.block.format(count=texts.count(booking.size)),
            quantity=booking.size,
            price=self.settings.price_list.of_block(booking.size),
            begin=self.settings.day(booking.booked_at),
            end=self.settings.day(booking.expires_at),
            block=booking.block_id,
        )

    def _overdraft(self, session: Session, customer: Customer, texts: Texts) -> Iterator[Line]:
        if self._day_is_over:
            return
        units = self.core.invoice_overdraft(session, customer.account_id)
        customers.settle_overdraft(session, customer.account_id, self.until)
        yield from self._beyond(units, customer.overdraft_since, texts)

    def _beyond(self, units: int, since: float, texts: Texts) -> Iterator[Line]:
        if units:
            begin = min(self.settings.day(since), self.day)
            yield Line(OVERDRAFT, texts.overdraft, units, self.settings.price_list.highest, begin, self.day)

    def _write(self, session: Session, account: AccountFacts, customer: Customer, lines: tuple[Line, ...]) -> Invoice:
        to = customer.addressee(account.name, self.settings.language)
        make = partial(invoice, day=self.day, to=to, lines=lines, terms=self.settings.terms())
        return book.write(session, account.id, self.settings.number_prefix, self.day, make, self.core.clock())
