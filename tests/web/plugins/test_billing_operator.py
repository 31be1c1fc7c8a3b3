"""The operator's billing: all invoices, taking back, the export, the next run, the prices; and nobody else's."""

from __future__ import annotations

import csv
import html
import io
import re

import pytest

from postmeter.store.secrets import NewPassword
from postmeter_billing import operator_pages
from support.bureau import ALL, HOSTILE, SHOP, Bureau, changes, words
from support.panel import OPERATOR, OTHER, OWNER


def test_the_operator_sees_all_and_narrows_them_down(office: Bureau) -> None:
    operator = office.visit(OPERATOR)
    page = operator.get(ALL).text
    assert "2026-000001" in page
    assert "2026-000002" in page
    for query, numbers in {
        "account=forum": ["2026-000002"],
        "account=nobody": [],
        "month=2026-11": ["2026-000002", "2026-000001"],
        "month=2026-10": [],
        "month=soon": ["2026-000002", "2026-000001"],
        "state=valid": ["2026-000002", "2026-000001"],
        "state=correction": [],
    }.items():
        assert re.findall(r'<th scope="row">([^<]*)</th>', operator.get(f"{ALL}?{query}").text) == numbers
    assert operator.get(f"{ALL}pdf/2026-000002").data.startswith(b"%PDF-")
    assert operator.get(f"{ALL}pdf/2026-000099").status_code == operator.get(f"{ALL}exe/2026-000001").status_code == 404


def test_an_invoice_is_taken_back_after_a_question(office: Bureau) -> None:
    operator = office.visit(OPERATOR)
    confirm = f"{ALL}take-back/2026-000001"
    assert "€28.26 (€4.51 of it VAT)" in words(operator.get(confirm).text)
    assert len(office.entries()) == 2
    assert operator.post(confirm, confirm, anew="on").headers["Location"] == ALL
    assert [(one.number, one.corrects) for one in office.entries()][2:] == [
        ("2026-000003", "2026-000001"),
        ("2026-000004", None),
    ]
    assert "The invoice 2026-000001 is taken back. Written: 2026-000003 · 2026-000004" in words(operator.get(ALL).text)
    facts = {"account": "shop", "written": ["2026-000003", "2026-000004"]}
    assert changes(office.house) == [("billing.take_back", "2026-000001", None, facts)]
    for number in ("2026-000001", "2026-000003"):
        assert operator.get(f"{ALL}take-back/{number}").status_code == 302
        assert operator.post(f"{ALL}take-back/{number}", "/me/").status_code == 302
        assert f"The invoice {number} cannot be taken back (again)" in words(operator.get(ALL).text)
    assert operator.post(f"{ALL}take-back/2026-000099", "/me/").status_code == 404
    assert len(office.entries()) == 4
    assert len(changes(office.house)) == 1


def test_the_accountant_gets_every_line_of_the_invoices(office: Bureau, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_pages, "CHUNK", 1)
    office.enter(office.house.ids["shop"], name="=cmd()")
    office.book(office.house.ids["shop"], 25_000)
    office.run(account="shop")
    operator = office.visit(OPERATOR)
    answer = operator.get(f"{ALL}export")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["number"], row["mails"], row["total"]) for row in rows] == [
        ("2026-000003", "25000", "28.26"),
        ("2026-000002", "50000", "56.53"),
        ("2026-000001", "25000", "28.26"),
    ]
    assert rows[0]["buyer"] == "'=cmd()"
    assert answer.headers["Content-Disposition"] == "attachment; filename=invoices.csv"
    narrowed = operator.get(f"{ALL}export?account=forum&month=2026-11")
    assert narrowed.headers["Content-Disposition"] == "attachment; filename=invoices-forum-2026-11.csv"
    assert [row["number"] for row in csv.DictReader(io.StringIO(narrowed.text))] == ["2026-000002"]


def test_the_next_run_shows_who_will_be_billed_and_who_cannot_be(
    office: Bureau, password: NewPassword, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator_pages, "PAGE", 2)
    office.house.account("new", "new@new.example", password)
    for name in ("new", "shop"):
        office.book(office.house.ids[name], 25_000)
    operator = office.visit(OPERATOR)
    first = operator.get(f"{ALL}next").text
    assert "new €23.75 no billing address" in words(first)
    (older,) = re.findall(r'href="([^"]*)" rel="next"', first)
    assert "shop €23.75 Description" in words(operator.get(html.unescape(older)).text)
    assert len(office.entries()) == 2


def test_the_prices_are_those_of_the_settings(office: Bureau) -> None:
    said = words(office.visit(OPERATOR).get(f"{ALL}prices").text)
    assert "100,000 €0.00090 €90.00" in said
    assert "Elbe Hosting GmbH, Lagerstraße 12, 20357 Hamburg, DE" in said


def test_hostile_text_stays_text(office: Bureau) -> None:
    other, operator = office.visit(OTHER), office.visit(OPERATOR)
    pages = [other.get(f"/accounts/forum/billing/{path}").text for path in ("", "address")]
    pages.append(operator.get(f"{ALL}take-back/2026-000002").text)
    assert all(HOSTILE not in page and "&lt;script&gt;alert(1)" in page for page in pages)


def test_nobody_else_comes_in(office: Bureau) -> None:
    paths = [ALL, f"{ALL}export", f"{ALL}next", f"{ALL}prices", f"{ALL}pdf/2026-000001", f"{ALL}take-back/2026-000001"]
    owner = office.visit(OWNER)
    assert {owner.get(path).status_code for path in paths} == {404}
    assert owner.post(f"{ALL}take-back/2026-000001", SHOP + "address").status_code == 404
    assert len(office.entries()) == 2
