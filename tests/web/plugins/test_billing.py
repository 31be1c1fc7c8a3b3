"""An account's invoices, the next one, whom they are for; and the prices on the quota's page."""

from __future__ import annotations

import html
import json
import re

import pytest
from attrs import evolve

from postmeter.store.secrets import NewPassword
from postmeter.store.terms import set_terms
from postmeter_billing import account_pages
from support.billing import ADDRESS, DAY
from support.bureau import ADDRESS_PAGE, ALL, SHOP, Bureau, changes, customer, words
from support.panel import NOW, OPERATOR, OTHER, OWNER, House


def test_an_account_sees_its_invoices_and_no_others(office: Bureau) -> None:
    page = office.visit(OWNER).get(SHOP).text
    said = words(page)
    assert "2026-000001 4 Nov 2026 for 4 Nov 2026 – 4 Dec 2026 €28.26 €23.75 and €4.51 VAT" in said
    assert "payable until 18 Nov 2026" in said
    assert "2026-000002" not in page
    assert 'aria-current="page">Invoices' in page


def test_the_next_invoice_is_shown_before_it_is_written(office: Bureau) -> None:
    office.book(office.house.ids["shop"], 100_000)
    said = words(office.visit(OWNER).get(SHOP).text)
    assert "The next invoice 1 Dec 2026" in said
    assert "Block of 100,000 mails 24 Nov 2026 – 24 Dec 2026 100,000 €0.00090 €90.00" in said
    assert "So far €90.00 and €17.10 VAT" in said
    german = office.visit(OWNER).get(SHOP, **{"Accept-Language": "de"}).text
    assert "90,00 €" in words(german)


@pytest.mark.parametrize(
    ("kind", "content_type", "begin", "file"),
    [
        ("pdf", "application/pdf", b"%PDF-", "2026-000001.pdf"),
        ("zugferd", "application/pdf", b"%PDF-", "2026-000001-zugferd.pdf"),
        ("xrechnung", "application/xml", b"<?xml", "2026-000001.xml"),
        ("csv", "text/csv; charset=utf-8", b"number,date", "2026-000001.csv"),
        ("json", "application/json", b"{", "2026-000001.json"),
    ],
)
def test_an_invoice_is_a_file_to_be_kept(office: Bureau, kind: str, content_type: str, begin: bytes, file: str) -> None:
    answer = office.visit(OWNER).get(f"{SHOP}{kind}/2026-000001")
    assert answer.status_code == 200
    assert answer.data.startswith(begin)
    assert answer.headers["Content-Type"] == content_type
    assert answer.headers["Content-Disposition"] == f"attachment; filename={file}"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_foreign_invoice_does_not_exist_in_any_format(office: Bureau) -> None:
    owner, other = office.visit(OWNER), office.visit(OTHER)
    missing = owner.get(f"{SHOP}pdf/2026-000099")
    for kind in ("pdf", "csv", "json", "xrechnung", "nothing"):
        for browser, path in ((owner, f"{SHOP}{kind}/2026-000002"), (other, f"{SHOP}{kind}/2026-000001")):
            answer = browser.get(path)
            assert (answer.status_code, answer.text) == (404, missing.text)
    assert owner.get(f"{SHOP}?before=2026-000002").status_code == 200
    assert "000002" not in owner.get(f"{SHOP}?before=2026-000003").text


def test_what_an_invoice_lacks_for_a_format_hides_it(office: Bureau) -> None:
    office.enter(office.house.ids["shop"], reference="")
    office.book(office.house.ids["shop"], 25_000)
    office.run(account="shop")
    owner = office.visit(OWNER)
    page = owner.get(SHOP).text
    assert "xrechnung/2026-000001" in page
    assert "xrechnung/2026-000003" not in page
    assert owner.get(f"{SHOP}xrechnung/2026-000003").status_code == 404


def test_a_prefix_with_a_slash_is_part_of_the_number(office: Bureau) -> None:
    office.settings = evolve(office.settings, number_prefix="RE/")
    office.book(office.house.ids["shop"], 25_000)
    office.run(account="shop")
    owner = office.visit(OWNER)
    (link,) = re.findall(r'href="([^"]*pdf/RE[^"]*)"', owner.get(SHOP).text)
    assert owner.get(link).headers["Content-Disposition"] == "attachment; filename=RE-2026-000003.pdf"


def test_a_long_list_has_pages(office: Bureau, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_pages, "PAGE", 2)
    for _ in range(3):
        office.now += DAY
        office.book(office.house.ids["shop"], 25_000)
        office.run(account="shop")
    owner, path, seen = office.visit(OWNER), SHOP, []
    while path:
        page = owner.get(path).text
        seen += re.findall(r'<th scope="row">([^<]*)</th>', page)
        path = html.unescape("".join(re.findall(r'href="([^"]*)" rel="next"', page)))
    assert seen == ["2026-000005", "2026-000004", "2026-000003", "2026-000001"]


@pytest.mark.parametrize(("role", "status"), [("admin", 200), ("billing", 200), ("viewer", 403)])
def test_who_may_bill_sees_them(office: Bureau, password: NewPassword, role: str, status: int) -> None:
    browser = office.visit(office.house.member("shop", f"{role}@shop.example", role, password))
    assert browser.get(SHOP).status_code == browser.get(f"{SHOP}pdf/2026-000001").status_code == status
    assert browser.get(ADDRESS_PAGE).status_code == status
    assert browser.post(ADDRESS_PAGE, "/me/", **ADDRESS).status_code == (302 if status == 200 else 403)
    assert browser.get(ALL).status_code == 404


# Whom they are for


def test_an_address_is_entered_and_noted_without_its_contents(house: House) -> None:
    office = Bureau(house)
    owner = office.visit(OWNER)
    assert "It is not known yet whom your invoices are for." in words(owner.get(SHOP).text)
    assert owner.post(ADDRESS_PAGE, ADDRESS_PAGE, **ADDRESS, language="de").headers["Location"] == SHOP
    found = customer(office)
    assert found is not None
    assert (found.buyer.city, found.language, found.reverse_charge) == ("Oberstdorf", "de", False)
    ((action, subject, account_id, facts),) = changes(house)
    assert (action, subject, account_id) == ("billing.address", "shop", house.ids["shop"])
    assert "Oberstdorf" not in json.dumps(facts)
    owner.post(ADDRESS_PAGE, ADDRESS_PAGE, **ADDRESS | {"city": "Sonthofen"}, language="de")
    assert changes(house)[0][3] == {"changed": ["city"]}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "", "is-invalid"),
        ("city", " ", "is-invalid"),
        ("country", "Germany", "is-invalid"),
        ("vat_id", "DE12", "This is not the form of a VAT identification number"),
        ("email", "joe", "Please enter an e-mail address."),
        ("street", "x" * 201, "is-invalid"),
        ("street", "a\x1bb", "is not a line of up to 200 printable characters"),
        ("language", "fr", "is-invalid"),
    ],
)
def test_what_cannot_be_right_is_refused(office: Bureau, field: str, value: str, said: str) -> None:
    before = customer(office)
    answer = office.visit(OWNER).post(ADDRESS_PAGE, ADDRESS_PAGE, **ADDRESS | {field: value})
    assert answer.status_code == 400
    assert said in html.unescape(answer.text)
    assert customer(office) == before
    assert changes(office.house) == []


def test_only_the_operator_says_who_owes_the_vat(office: Bureau) -> None:
    owner = office.visit(OWNER)
    assert 'name="reverse_charge"' not in owner.get(ADDRESS_PAGE).text
    owner.post(ADDRESS_PAGE, ADDRESS_PAGE, **ADDRESS, reverse_charge="y")
    assert [found.reverse_charge for found in [customer(office)] if found] == [False]
    operator = office.visit(OPERATOR).view("shop")
    operator.post(ADDRESS_PAGE, ADDRESS_PAGE, **ADDRESS, reverse_charge="y")
    assert [found.reverse_charge for found in [customer(office)] if found] == [True]
    owner.post(ADDRESS_PAGE, ADDRESS_PAGE, **ADDRESS)
    assert [found.reverse_charge for found in [customer(office)] if found] == [True]
    refused = owner.post(ADDRESS_PAGE, ADDRESS_PAGE, **ADDRESS | {"vat_id": ""})
    assert "With reverse charge invoices need the VAT identification number." in refused.text
    assert "So far €0.00 and €0.00 VAT" not in owner.get(SHOP).text


def test_the_address_of_another_account_is_not_to_be_seen_or_changed(office: Bureau) -> None:
    other = office.visit(OTHER)
    before = customer(office)
    assert other.get(ADDRESS_PAGE).status_code == 404
    assert other.post(ADDRESS_PAGE, "/accounts/forum/billing/address", **ADDRESS | {"city": "X"}).status_code == 404
    assert customer(office) == before


# The quota's page


def test_a_block_is_booked_with_the_prices_of_the_list(office: Bureau) -> None:
    with office.store.write() as session:
        set_terms(session, office.house.ids["shop"], NOW, agreement=True)
    owner = office.visit(OWNER)
    page = words(owner.get("/accounts/shop/quota/book/confirm?size=25000&request=an-order-of-the-shop").text)
    assert "€23.75 (€0.00095 for each mail)" in page
    assert "of 1 Dec 2026, by the price list of that day" in page


def test_nobody_books_before_the_address_is_known(house: House) -> None:
    office = Bureau(house)
    with office.store.write() as session:
        set_terms(session, house.ids["shop"], NOW, agreement=True)
    page = office.visit(OWNER).get("/accounts/shop/quota/").text
    assert "it must be known whom invoices are for" in page
    assert f'<a href="{SHOP}">To the invoices and their address</a>' in page
