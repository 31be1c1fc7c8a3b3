"""The XML follows the schema of EN 16931, says the same as the invoice to the cent, and is what a ZUGFeRD PDF holds."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import drafthorse
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from pypdf import PdfReader

from postmeter import UsageError
from postmeter_billing.einvoice import XRECHNUNG, ZUGFERD, Profile, xml
from postmeter_billing.export import FORMATS
from postmeter_billing.invoice import Invoice, correction
from support.billing import BUYER, TERMS, an_invoice

RAM = "{urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100}"
SCHEMA = etree.XMLSchema(file=str(Path(drafthorse.__file__).parent / "schema" / "Factur-X_1.0.07_EN16931.xsd"))

Find = Callable[[str], list[str]]


def found_in(made: bytes) -> Find:
    """Finds the texts at a path of names; AssertionError when the document does not follow the schema."""
    root = etree.fromstring(made)
    SCHEMA.assertValid(root)

    def find(path: str) -> list[str]:
        return [node.text for node in root.findall(".//" + "/".join(RAM + name for name in path.split("/")))]

    return find


def check(of: Invoice, profile: Profile = XRECHNUNG) -> Find:
    """AssertionError unless the XML adds up to the invoice; what EN 16931 demands of sums (BR-CO-10 to BR-CO-17)."""
    find = found_in(xml(of, profile))
    (net,), (vat,), (gross,) = (
        find(f"SpecifiedTradeSettlementHeaderMonetarySummation/{name}")
        for name in ("TaxBasisTotalAmount", "TaxTotalAmount", "GrandTotalAmount")
    )
    lines = find("SpecifiedTradeSettlementLineMonetarySummation/LineTotalAmount")
    assert sum(map(Decimal, lines)) == Decimal(net) == Decimal(of.net) / 100
    assert Decimal(vat) == Decimal(of.vat) / 100
    assert Decimal(net) + Decimal(vat) == Decimal(gross) == Decimal(of.gross) / 100
    assert find("SpecifiedTradeSettlementHeaderMonetarySummation/DuePayableAmount") == [gross]
    assert all(len(amount.partition(".")[2]) == 2 for amount in (*lines, net, vat, gross))
    return find


def test_an_xrechnung() -> None:
    find = check(an_invoice([25_000, 100_000], 1234))
    assert find("NetPriceProductTradePrice/ChargeAmount") == ["0.00095", "0.00090", "0.00095"]
    assert find("SpecifiedLineTradeDelivery/BilledQuantity") == ["25000", "100000", "1234"]
    assert find("ApplicableHeaderTradeAgreement/BuyerReference") == ["04011000-12345-67"]
    assert find("BuyerTradeParty/Name") == ["Gasthof Lindenhof OHG"]
    assert find("SellerTradeParty/SpecifiedTaxRegistration/ID") == ["DE123456789", "22/333/4444"]
    assert find("PayeePartyCreditorFinancialAccount/IBANID") == ["DE02120300000000202051"]
    assert find("GuidelineSpecifiedDocumentContextParameter/ID") == [XRECHNUNG.guideline]


@settings(max_examples=25)
@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=8), st.integers(0, 10**6), st.booleans())
def test_any_invoice_and_its_correction_add_up(sizes: list[int], overdraft: int, reverse_charge: bool) -> None:
    made = an_invoice(sizes, overdraft, reverse_charge=reverse_charge)
    check(made)
    check(correction("2027-000002", date(2027, 1, 20), made))


def test_a_correction_names_what_it_corrects() -> None:
    find = check(correction("2027-000002", date(2027, 1, 20), an_invoice()))
    assert find("InvoiceReferencedDocument/IssuerAssignedID") == ["2027-000001"]
    assert find("SpecifiedLineTradeDelivery/BilledQuantity") == ["-25000"]
    assert find("NetPriceProductTradePrice/ChargeAmount") == ["0.00095"]


@pytest.mark.parametrize(
    ("made", "category", "reason"),
    [
        (an_invoice(), "S", []),
        (an_invoice(reverse_charge=True), "AE", ["Reverse charge"]),
        (an_invoice(terms=replace(TERMS, rate=0, exemption="§ 19 UStG")), "E", ["§ 19 UStG"]),
    ],
)
def test_the_kind_of_vat_is_named(made: Invoice, category: str, reason: list[str]) -> None:
    find = check(made)
    assert set(find("ApplicableTradeTax/CategoryCode")) == {category}
    assert find("ApplicableTradeTax/ExemptionReason") == reason


def test_an_xrechnung_needs_more_than_a_zugferd_invoice() -> None:
    made = an_invoice(buyer=replace(BUYER, reference="", email=""))
    made = replace(made, seller=replace(made.seller, phone="", contact="", iban="", tax_number=""))
    check(made, ZUGFERD)
    with pytest.raises(
        UsageError, match=r"seller\.contact, seller\.phone, seller\.iban, buyer\.reference, buyer\.email$"
    ):
        xml(made, XRECHNUNG)


def test_no_name_breaks_the_xml() -> None:
    buyer = replace(BUYER, name="<&>\"' ]]> Zażółć 🎉", addition="&amp;", city="Αθήνα")
    assert check(an_invoice(buyer=buyer))("BuyerTradeParty/Name") == ["<&>\"' ]]> Zażółć 🎉"]


def test_a_zugferd_pdf_holds_the_xml() -> None:
    made = an_invoice([25_000], 1234)
    reader = PdfReader(io.BytesIO(FORMATS["zugferd"](made)))
    assert reader.attachments["factur-x.xml"] == [xml(made, ZUGFERD)]
    (named,) = associated(reader)
    assert (named["/AFRelationship"], named["/UF"]) == ("/Alternative", "factur-x.xml")
    about = reader.trailer["/Root"]["/Metadata"].get_data().decode()
    etree.fromstring(about.encode())
    assert "<fx:DocumentFileName>factur-x.xml</fx:DocumentFileName>" in about
    assert "<fx:ConformanceLevel>EN 16931</fx:ConformanceLevel>" in about


def associated(reader: PdfReader) -> list[Any]:
    """The files that the document says belong to it."""
    return [one.get_object() for one in reader.trailer["/Root"]["/AF"].get_object()]
