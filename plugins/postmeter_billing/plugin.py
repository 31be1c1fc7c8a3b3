"""What the relay finds under the entry point: settings, tables, the billing run of the billing day, and commands."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import date

import click
from sqlalchemy import Connection

from postmeter import Core, Job, Page, PluginSettings, Tariff, hookimpl
from postmeter_billing import commands, customers, tables
from postmeter_billing.run import NO_ADDRESS, Run
from postmeter_billing.settings import BillingSettings, own

log = logging.getLogger(__name__)

EVERY = 3600.0  # seconds from one look at the calendar to the next


class Billing:
    """The plugin."""

    @hookimpl
    def on_start(self, core: Core) -> None:
        """Keep what the relay offers."""
        self._core = core
        self._warned: date | None = None  # the billing date of the last warnings

    @hookimpl
    def settings_schema(self) -> type[PluginSettings]:
        """Prices, days, VAT and the seller."""
        return BillingSettings

    @hookimpl
    def migrations(self) -> Sequence[Callable[[Connection], None]]:
        """The steps to the tables."""
        return [tables.first_tables]

    @hookimpl
    def jobs(self) -> Sequence[Job]:
        """The billing run; none as long as the settings do not say who sells."""
        return [Job("invoices", EVERY, self._bill)] if own(self._core).seller_name else []

    @hookimpl
    def tariff(self, account_id: int) -> Tariff | None:
        """The price list, VAT and the day of the next invoice; nothing as long as nothing is invoiced."""
        settings = own(self._core)
        if not settings.seller_name:
            return None
        with self._core.read() as session:
            customer = customers.find(session, account_id)
        return Tariff(
            prices=settings.price_list,
            currency=settings.currency,
            vat=0 if customer and customer.reverse_charge else settings.rate,
            billed=Run.of(self._core, settings).next_day(customer),
            endpoint="invoices.show",
            addressed=customer is not None,
        )

    @hookimpl
    def pages(self) -> Sequence[Page]:
        """An account's invoices and those of all; none as long as nothing is invoiced."""
        if not own(self._core).seller_name:
            return []
        from postmeter_billing.pages import pages  # Flask is where the panel runs

        return pages(self._core)

    @hookimpl
    def commands(self) -> Sequence[click.Command]:
        """`postmeter billing`."""
        return [commands.billing]

    def _bill(self, now: float) -> None:
        """Bill whom no run has dealt with since the last billing date; for nobody it costs one look."""
        run = Run.of(self._core, own(self._core)).scheduled()
        with self._core.read() as session:
            due = customers.anybody_due(session, run.due)
        for outcome in run.bill() if due else ():
            if outcome.number:
                log.info("wrote the invoice %s for the account %s", outcome.number, outcome.account)
        if self._warned != run.due:
            self._warn(run)
            self._warned = run.due

    def _warn(self, run: Run) -> None:
        for name in run.without_address():
            log.warning("the account %s is not billed: it has %s", name, NO_ADDRESS)
