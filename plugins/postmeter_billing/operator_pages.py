"""All invoices for the operator: the list and its export, taking back, the next run, the price list."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, abort, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from postmeter import AccountFacts, Core, UsageError
from postmeter_billing import book, customers
from postmeter_billing.book import STATES, VALID, Record, Selection
from postmeter_billing.cancel import take_back
from postmeter_billing.customers import Customer
from postmeter_billing.export import csv_of, possible
from postmeter_billing.files import attachment, invoice_file
from postmeter_billing.invoice import Invoice, Line
from postmeter_billing.run import Run
from postmeter_billing.settings import own

PAGE = 50  # invoices, or accounts
CHUNK = 500  # invoices read at once for the export
NOBODY = -1  # the number of no account
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


@dataclass(frozen=True)
class Due:
    """What the next invoice of an account will have; without ``customer`` nobody knows whom it is for."""

    account: AccountFacts
    customer: Customer | None
    lines: tuple[Line, ...]

    @property
    def net(self) -> int:
        """The sum in cents, without VAT."""
        return sum(line.amount for line in self.lines)


class OperatorPages:
    """The views."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._settings = own(core)

    def blueprint(self) -> Blueprint:
        """Them all."""
        made = Blueprint("invoicing", __name__, template_folder="templates")
        made.add_url_rule("/", "show", self.show)
        made.add_url_rule("/export", "export", self.export)
        made.add_url_rule("/next", "due", self.due)
        made.add_url_rule("/prices", "prices", self.prices)
        made.add_url_rule("/<kind>/<path:number>", "file", self.file)
        made.add_url_rule("/take-back/<path:number>", "confirm", self.confirm)
        made.add_url_rule("/take-back/<path:number>", "take_back", self.take_back, methods=["POST"])
        return made

    def show(self) -> ResponseReturnValue:
        """The invoices of all accounts, newest first."""
        asked, before = _asked(), request.args.get("before", "")
        with self._core.read() as session:
            names = {account.id: account.name for account in self._core.accounts(session)}
            found = book.records(session, _selection(asked, names), before=before, limit=PAGE + 1)
        records, more = found[:PAGE], len(found) > PAGE
        return render_template(
            "billing_all.html",
            records=[(record, names.get(record.account_id, ""), possible(record.invoice)) for record in records],
            asked=asked,
            names=sorted(names.values()),
            newer=url_for(".show", **asked) if before else "",
            older=url_for(".show", before=records[-1].invoice.number, **asked) if more else "",
        )

    def export(self) -> ResponseReturnValue:
        """The same invoices, all of them, as a CSV file with a row for each line: for the accountant."""
        asked = _asked()
        with self._core.read() as session:
            which = _selection(asked, {account.id: account.name for account in self._core.accounts(session)})
        name = "-".join(["invoices", *asked.values()])
        return attachment(csv_of(self._all(which)), name, "csv")

    def file(self, kind: str, number: str) -> ResponseReturnValue:
        """An invoice to be kept."""
        found = self._record(number)
        if kind not in possible(found.invoice):
            abort(404)
        return invoice_file(found.invoice, kind)

    def confirm(self, number: str) -> ResponseReturnValue:
        """What is taken back, and what that means."""
        found = self._record(number)
        if found.state != VALID:
            return self._taken_back_before(number)
        return render_template("billing_take_back.html", invoice=found.invoice)

    def take_back(self, number: str) -> ResponseReturnValue:
        """Have an invoice taken back by another one, and written anew if that is wanted."""
        if self._record(number).state != VALID:
            return self._taken_back_before(number)
        try:
            written = self._take_back(number, "anew" in request.form)
        except UsageError as error:
            flash(str(error), "problem")
        else:
            numbers = " · ".join(one.number for one in written)
            flash(gettext("The invoice %(number)s is taken back. Written: %(numbers)s", number=number, numbers=numbers))
        return redirect(url_for(".show"))

    def due(self) -> ResponseReturnValue:
        """What a run would bill now, account by account in the order of their names."""
        after, run = request.args.get("after", ""), Run.of(self._core, self._settings)
        with self._core.read() as session:
            following = [account for account in self._core.accounts(session) if account.name > after]
            dues = [
                Due(account, customers.find(session, account.id), run.preview(session, account))
                for account in following[:PAGE]
            ]
        return render_template(
            "billing_due.html",
            dues=[due for due in dues if due.lines],
            day=self._settings.next_billing_date(run.day),
            currency=self._settings.currency,
            newer=url_for(".due") if after else "",
            older=url_for(".due", after=following[PAGE - 1].name) if len(following) > PAGE else "",
        )

    def prices(self) -> ResponseReturnValue:
        """The price list and the rest of what the settings say."""
        return render_template("billing_prices.html", settings=self._settings, terms=self._settings.terms())

    def _take_back(self, number: str, anew: bool) -> list[Invoice]:
        with self._core.write() as session:
            written = take_back(self._core, self._settings, session, number, anew=anew)
            account = written[0].account
            g.note(session, "billing.take_back", number, account=account, written=[one.number for one in written])
        return written

    def _taken_back_before(self, number: str) -> ResponseReturnValue:
        flash(gettext("The invoice %(number)s cannot be taken back (again): see its state.", number=number), "problem")
        return redirect(url_for(".show"))

    def _record(self, number: str) -> Record:
        with self._core.read() as session:
            found = book.record(session, number)
        return found or abort(404)

    def _all(self, which: Selection) -> Iterator[Invoice]:
        before = ""
        while True:
            with self._core.read() as session:
                found = book.records(session, which, before=before, limit=CHUNK)
            yield from (record.invoice for record in found)
            if len(found) < CHUNK:
                return
            before = found[-1].invoice.number


def _asked() -> dict[str, Any]:
    """What the list is narrowed to: account, month and state; what cannot be is left out."""
    account, month, state = (request.args.get(name, "").strip() for name in ("account", "month", "state"))
    asked = {
        "account": account,
        "month": month if _MONTH.fullmatch(month) else "",
        "state": state if state in STATES else "",
    }
    return {name: value for name, value in asked.items() if value}


def _selection(asked: dict[str, Any], names: dict[int, str]) -> Selection:
    account = asked.get("account")
    number = next((number for number, name in names.items() if name == account), NOBODY) if account else None
    return Selection(number, asked.get("month", ""), asked.get("state", ""))
