"""An account's quota: what is left and until when, its blocks and their renewal, booking, the threshold, the ledger."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flask import Blueprint, abort, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from sqlalchemy.orm import Session
from wtforms import BooleanField, IntegerField
from wtforms.validators import InputRequired, NumberRange

from postmeter import Tariff
from postmeter.csv_file import Cell
from postmeter.errors import UsageError
from postmeter.quota.block import MOST_MAILS, check_size, expiry
from postmeter.quota.price import cents, tax
from postmeter.store import accounts, ledger, quota, terms, usage
from postmeter.store.accounts import AccountFacts
from postmeter_web.access import BILL, MEMBER, needs, own_pages
from postmeter_web.account.quota_words import KINDS, at_zero, entry_words, hourly_limit, why_not
from postmeter_web.account.tariff import tariff_of
from postmeter_web.context import changing, now, number_asked, panel, reading
from postmeter_web.downloads import backwards, download
from postmeter_web.forms import Form, Once
from postmeter_web.sentences import in_words
from postmeter_web.show import iso, number

blueprint = own_pages(Blueprint("quota", __name__))

PAGE = 50  # entries of the ledger
MONTHS = 12
_KEY = re.compile(r"[\w-]{16,64}", re.ASCII)  # of a booking


class Order(Once):
    """A block to be booked."""

    size = IntegerField(lazy_gettext("Mails"), [InputRequired()])
    renews = BooleanField(lazy_gettext("Book it again whenever it ends, until the renewal is cancelled"), default=True)


class Threshold(Form):
    """Below which number of mails the admins are told."""

    threshold = IntegerField(lazy_gettext("Tell us when fewer mails are left than"), [NumberRange(0, MOST_MAILS)])


class BookedBeforeError(Exception):
    """There is a block of this order already."""


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """All about it."""
    return _page(Threshold())


@blueprint.post("/threshold")
def set_threshold() -> ResponseReturnValue:
    """Tell the admins earlier or later."""
    form = Threshold()
    if not form.validate_on_submit():
        return _page(form), 400
    with changing("quota.threshold", threshold=form.threshold.data) as change:
        terms.set_terms(change.db, g.account.id, now(), threshold=form.threshold.data)
    flash(gettext("The threshold is changed."))
    return redirect(url_for(".show"))


@blueprint.post("/blocks/<int:block>/renewal")
def set_renewal(block: int) -> ResponseReturnValue:
    """Have a block booked again at its end, or not any more."""
    renews = request.form.get("renews") == "1"
    with reading() as db:
        if block not in {one.block_id for one in quota.bookings_of(db, g.account.id)}:
            abort(404)
        problem = _why_not(db, tariff_of(g.account.id)) if renews else ""
    if problem:
        flash(problem, "problem")
        return redirect(url_for(".show"))
    try:
        with changing("quota.renewal", str(block), renews=renews) as change:
            quota.set_renewal(change.db, g.account.id, block, renews, now())
    except UsageError as error:
        flash(in_words(str(error)), "problem")
    else:
        flash(gettext("The block will be renewed.") if renews else gettext("The block will not be renewed."))
    return redirect(url_for(".show"))


@blueprint.get("/book")
@needs(BILL)
def order() -> ResponseReturnValue:
    """What can be booked, and for how much."""
    return _order(Order(size=panel().settings.block.min))


@blueprint.get("/book/confirm")
@needs(BILL)
def confirm() -> ResponseReturnValue:
    """What exactly will be booked. The key of the order is in the address: whoever comes back books it once."""
    form = Order(request.args)
    tariff = tariff_of(g.account.id)
    problem = _wrong(form)
    with reading() as db:
        problem = problem or _why_not(db, tariff)
        booked = None if problem else quota.booked_with(db, g.account.id, form.request.data)
    if problem:
        return _order(form, problem), 400
    if booked is not None:
        return _booked_before()
    settings = panel().settings.block
    facts = {"expires": expiry(now(), settings.days), "cost": _cost(tariff, form.size.data)}
    return render_template("account/quota_confirm.html", form=form, tariff=tariff, now=now(), **facts)


@blueprint.post("/book")
def book() -> ResponseReturnValue:
    """Book it, once."""
    form = Order()
    problem = _wrong(form)
    if problem:
        return _order(form, problem), 400
    try:
        block = _book(form, tariff_of(g.account.id))
    except BookedBeforeError:
        return _booked_before()
    except UsageError as error:
        return _order(form, in_words(str(error))), 400
    flash(gettext("Block %(block)d is booked: its mails can be used from now on.", block=block))
    return redirect(url_for(".show"))


@blueprint.get("/ledger")
def show_ledger() -> ResponseReturnValue:
    """Every move of the account's units, newest first."""
    kind = _kind(request.args)
    before = number_asked("before")
    with reading() as db:
        found = ledger.entries_of(db, g.account.id, PAGE + 1, before=before, kind=kind)
    entries, more = found[:PAGE], len(found) > PAGE
    return render_template(
        "account/quota_ledger.html",
        entries=[(entry, entry_words(entry)) for entry in entries],
        kinds=KINDS,
        kind=kind,
        newer=url_for(".show_ledger", kind=kind or None) if before else "",
        older=url_for(".show_ledger", kind=kind or None, before=entries[-1].id) if more else "",
    )


@blueprint.post("/ledger")
@needs(MEMBER)
def export_ledger() -> ResponseReturnValue:
    """The same as a file; the log tells of it."""
    account, kind = g.account.id, _kind(request.form)
    with changing("quota.export", kind):
        entries = backwards(lambda db, before, limit: ledger.entries_of(db, account, limit, before=before, kind=kind))
        return download("ledger", _rows(entries))


def _rows(entries: Iterable[ledger.Entry]) -> Iterator[tuple[Cell, ...]]:
    yield ("at", "kind", "block", "units")
    for one in entries:
        yield (iso(one.at), one.kind, one.block, one.units)


def _kind(given: Mapping[str, str]) -> str:
    kind = given.get("kind", "")
    return kind if kind in KINDS else ""


def _page(form: Threshold) -> str:
    settings = panel().settings
    tariff = tariff_of(g.account.id)
    with reading() as db:
        account = accounts.account_facts(db, g.account.id)
        facts = quota.quota_of(db, g.account.id, now())
        months = usage.months(db, g.account.id, now(), MONTHS)
    if form.threshold.data is None and not form.errors:
        form.threshold.data = account.threshold
    return render_template(
        "account/quota.html",
        account=account,
        quota=facts,
        months=months,
        tariff=tariff,
        form=form,
        at_zero=at_zero(account, settings.overdraft, tariff),
        hourly_limit=hourly_limit(account, settings.demo),
        why_not=why_not(account, tariff, _is_operator()),
        costs={block.id: _cost(tariff, block.size) for block in facts.blocks},
        owed=cents(facts.overdraft * tariff.prices.highest) if tariff else 0,
        now=now(),
    )


def _order(form: Order, problem: str = "") -> str:
    form.problem = problem
    tariff = tariff_of(g.account.id)
    with reading() as db:
        refused = _why_not(db, tariff)
    settings = panel().settings.block
    return render_template("account/quota_order.html", form=form, tariff=tariff, why_not=refused, block=settings)


def _wrong(form: Order) -> str:
    """What is wrong with an order; one without a key was not made by the form."""
    if not _KEY.fullmatch(form.request.data or ""):
        abort(404)
    settings = panel().settings.block
    try:
        check_size(form.size.data or 0, settings.min, settings.step)
    except ValueError:
        facts = {"least": number(settings.min), "step": number(settings.step)}
        return str(gettext("A block has at least %(least)s mails and a multiple of %(step)s.", **facts))
    return ""


def _book(form: Order, tariff: Tariff | None) -> int:
    """The new block's number; UsageError when it cannot be booked."""
    size, renews, key = form.size.data, form.renews.data, form.request.data
    with changing("quota.book", size=size, renews=renews) as change:
        if quota.booked_with(change.db, g.account.id, key, lock=True) is not None:
            raise BookedBeforeError
        if problem := _why_not(change.db, tariff):
            raise UsageError(problem)
        settings = panel().settings.block
        block = quota.book_block(change.db, g.account.id, size, settings, now(), renews=renews, request=key)
        change.subject = str(block)
    return block


def _booked_before() -> ResponseReturnValue:
    flash(gettext("This block is booked; it was not booked a second time."))
    return redirect(url_for(".show"))


def _cost(tariff: Tariff | None, size: int) -> dict[str, Any]:
    """What a block costs: of one mail in 0.00001, sums in cents; nothing is known without prices."""
    if tariff is None:
        return {}
    price = tariff.prices.of_block(size)
    net = cents(price * size)
    vat = tax(net, tariff.vat)
    return {"price": price, "net": net, "vat": vat, "gross": net + vat}


def _why_not(db: Session, tariff: Tariff | None) -> str:
    account: AccountFacts = accounts.account_facts(db, g.account.id)
    return why_not(account, tariff, _is_operator())


def _is_operator() -> bool:
    return bool(g.account.role == "operator")
