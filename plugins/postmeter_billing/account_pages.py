"""An account's invoices in the panel: the list, files of each, what the next one will have, and whom they are for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, abort, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from sqlalchemy.orm import Session

from postmeter import Core, UsageError, prices
from postmeter_billing import book, customers
from postmeter_billing.address_form import TEXTS, AddressForm, address_form
from postmeter_billing.book import Selection
from postmeter_billing.customers import Customer
from postmeter_billing.export import possible
from postmeter_billing.files import invoice_file
from postmeter_billing.run import Run
from postmeter_billing.settings import own

PAGE = 50  # invoices


class AccountPages:
    """The views; each sees the invoices of ``flask.g.account`` only."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._settings = own(core)

    def blueprint(self) -> Blueprint:
        """Them all."""
        made = Blueprint("invoices", __name__, template_folder="templates")
        made.add_url_rule("/", "show", self.show)
        made.add_url_rule("/address", "address", self.address)
        made.add_url_rule("/address", "enter", self.enter, methods=["POST"])
        made.add_url_rule("/<kind>/<path:number>", "file", self.file)
        return made

    def show(self, name: str) -> ResponseReturnValue:
        """The invoices, newest first, and what the next one will have."""
        before = request.args.get("before", "")
        with self._core.read() as session:
            found = book.records(session, Selection(g.account.id), before=before, limit=PAGE + 1)
            customer = customers.find(session, g.account.id)
            run = Run.of(self._core, self._settings)
            lines = run.preview(session, self._core.account(session, g.account.id))
        records, more = found[:PAGE], len(found) > PAGE
        net = sum(line.amount for line in lines)
        rate = 0 if customer and customer.reverse_charge else self._settings.rate
        return render_template(
            "billing_invoices.html",
            records=[(record, possible(record.invoice)) for record in records],
            customer=customer,
            lines=lines,
            net=net,
            vat=prices.tax(net, rate),
            day=run.next_day(customer),
            currency=self._settings.currency,
            newer=url_for(".show") if before else "",
            older=url_for(".show", before=records[-1].invoice.number) if more else "",
        )

    def file(self, name: str, kind: str, number: str) -> ResponseReturnValue:
        """An invoice to be kept."""
        with self._core.read() as session:
            found = book.record(session, number, g.account.id)
        if found is None or kind not in possible(found.invoice):
            abort(404)
        return invoice_file(found.invoice, kind)

    def address(self, name: str) -> ResponseReturnValue:
        """Whom the invoices are for."""
        with self._core.read() as session:
            customer = customers.find(session, g.account.id)
        return self._form(self._made(customer), customer)

    def enter(self, name: str) -> ResponseReturnValue:
        """Have them for somebody else from now on."""
        with self._core.read() as session:
            customer = customers.find(session, g.account.id)
        form = self._made(customer)
        if not form.validate_on_submit():
            return self._form(form, customer), 400
        try:
            with self._core.write() as session:
                self._enter(session, form)
        except UsageError as error:
            form.problem = str(error)
            return self._form(form, customer), 400
        flash(gettext("The address is saved. Invoices that are written from now on have it."))
        return redirect(url_for(".show"))

    def _enter(self, session: Session, form: AddressForm) -> None:
        before = customers.find(session, g.account.id)
        values: dict[str, str | bool] = {name: form[name].data or "" for name in TEXTS}
        if _is_operator():
            values["reverse_charge"] = form.reverse_charge.data
        account = self._core.account(session, g.account.id)
        customers.enter(session, account, values, self._settings.begin(self._core.clock()))
        after = customers.find(session, g.account.id)
        changed = [field for field, value in _fields(after).items() if _fields(before).get(field) != value]
        g.note(session, "billing.address", account.name, changed=changed)

    def _made(self, customer: Customer | None) -> AddressForm:
        return address_form(customer, self._settings.seller_country, self._settings.language, _is_operator())

    def _form(self, form: AddressForm, customer: Customer | None) -> str:
        return render_template("billing_address.html", form=form, customer=customer, is_operator=_is_operator())


def _fields(customer: Customer | None) -> Mapping[str, Any]:
    """What people enter, by name."""
    if customer is None:
        return {}
    return {**vars(customer.buyer), "language": customer.language, "reverse_charge": customer.reverse_charge}


def _is_operator() -> bool:
    return bool(g.account.role == "operator")
