"""An account's suppressed addresses: the list, and what people add, lift, take in and take away as a file."""

from __future__ import annotations

from datetime import UTC, datetime, time

from flask import Blueprint, abort, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext, ngettext, to_utc
from flask_wtf.file import FileField, FileRequired
from wtforms import DateField, StringField
from wtforms.validators import InputRequired, Length, Optional

from postmeter import csv_file
from postmeter.errors import UsageError
from postmeter.store import suppression_list, suppressions
from postmeter.store.suppression_list import Table
from postmeter.store.suppressions import EVERY_ACCOUNT, MANUAL, MAX_DETAIL, Suppression
from postmeter_web.access import VIEW, needs, own_pages
from postmeter_web.context import changing, now, reading
from postmeter_web.downloads import download
from postmeter_web.forms import Form
from postmeter_web.sentences import in_words

blueprint = own_pages(Blueprint("suppressions", __name__))

PAGE = 50  # rows of a page
FEW = 20  # lines of a file that are named when something is wrong in them


class AddForm(Form):
    """One address, why, and until when."""

    address = StringField(lazy_gettext("Address"), [InputRequired(), Length(max=320)], render_kw={"inputmode": "email"})
    detail = StringField(
        lazy_gettext("Note"),
        [Length(max=MAX_DETAIL)],
        description=lazy_gettext("Why; who sends to the address is told."),
    )
    until = DateField(
        lazy_gettext("Until"), [Optional()], description=lazy_gettext("The first day on which it may be tried again.")
    )


class ImportForm(Form):
    """A file with addresses."""

    file = FileField(
        lazy_gettext("CSV file"),
        [FileRequired()],
        description=lazy_gettext("Each line: address, reason, expiry (2030-12-31); at most 1 MB."),
        render_kw={"accept": ".csv,text/csv,text/plain"},
    )


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """The list and the forms."""
    return _page(AddForm(formdata=None), ImportForm(formdata=None))


@blueprint.post("/add")
def add() -> ResponseReturnValue:
    """Suppress one address."""
    form = AddForm()
    if not form.validate_on_submit():
        return _page(form, ImportForm(formdata=None), 400)
    day = form.until.data
    until = to_utc(datetime.combine(day, time())).replace(tzinfo=UTC).timestamp() if day else None
    try:
        if until is not None and until <= now():
            raise UsageError("the day has to be in the future")
        address = suppressions.clean_address(form.address.data)
        with changing("suppressions.add", address, until=until) as change:
            detail = form.detail.data or ""
            suppressions.suppress(change.db, g.account.id, address, MANUAL, now(), detail=detail, expires_at=until)
    except UsageError as error:
        form.refuse(error)
        return _page(form, ImportForm(formdata=None), 400)
    flash(gettext("%(address)s is suppressed.", address=address))
    return redirect(url_for(".show"))


@blueprint.post("/lift")
def lift() -> ResponseReturnValue:
    """Let an address be tried again; one that is not suppressed (any more) is not there."""
    try:
        address = suppressions.clean_address(request.form.get("address", ""))
    except UsageError:
        abort(404)
    with changing("suppressions.lift", address) as change:
        if not suppressions.lift(change.db, g.account.id, address):
            abort(404)
    flash(gettext("%(address)s may be tried again.", address=address))
    return redirect(url_for(".show"))


@blueprint.post("/import")
def import_file() -> ResponseReturnValue:
    """Suppress all addresses of a file, or none of them when something is wrong in it."""
    form = ImportForm()
    if not form.validate_on_submit():
        return _page(AddForm(formdata=None), form, 400)
    try:
        table = suppression_list.read(csv_file.read(form.file.data.read()), g.account.id, now())
    except UsageError as error:
        form.refuse(error)
        return _page(AddForm(formdata=None), form, 400)
    if table.problems:
        return _page(AddForm(formdata=None), form, 400, table)
    number = len(table.made)
    for part in suppression_list.parts(table.made):
        with changing("suppressions.import", addresses=len(part), of=number) as change:
            suppressions.take_in(change.db, part, now())
    flash(
        ngettext("%(num)d address of the file is suppressed.", "%(num)d addresses of the file are suppressed.", number)
    )
    if table.over:
        flash(
            ngettext(
                "%(num)d line was passed over: its time is over.",
                "%(num)d lines were passed over: their time is over.",
                table.over,
            )
        )
    return redirect(url_for(".show"))


@blueprint.post("/export")
@needs(VIEW)
def export() -> ResponseReturnValue:
    """The list as a file; the log tells of it."""
    with reading() as db:
        rows = list(suppression_list.written(db, g.account.id, now()))
    with changing("suppressions.export"):  # a moment: a long list must keep nobody from writing
        return download("suppressions", rows)


def _page(
    add_form: AddForm, import_form: ImportForm, status: int = 200, table: Table | None = None
) -> ResponseReturnValue:
    find = request.args.get("find", "").strip()[:300]
    with reading() as db:
        found = suppressions.page(db, g.account.id, now(), find=find, before=_before(), limit=PAGE + 1)
        operators = suppressions.page(db, EVERY_ACCOUNT, now(), find=find, limit=PAGE)
    page = render_template(
        "account/suppressions.html",
        found=found[:PAGE],
        operators=operators,
        find=find,
        newest=url_for(".show", find=find or None) if "before" in request.args else "",
        older=url_for(".show", find=find or None, before=_place(found[PAGE - 1])) if len(found) > PAGE else "",
        add_form=add_form,
        import_form=import_form,
        problems=[(one.line, in_words(one.text)) for one in table.problems[:FEW]] if table else [],
        more_problems=max(0, len(table.problems) - FEW) if table else 0,
        now=now(),
    )
    return page, status


def _place(one: Suppression) -> str:
    return f"{one.created_at!r} {one.address}"


def _before() -> tuple[float, str] | None:
    """Where the page begins; 404 for what no page has linked to."""
    if "before" not in request.args:
        return None
    at, _, address = request.args["before"].partition(" ")
    try:
        return float(at), address
    except ValueError:
        abort(404)
