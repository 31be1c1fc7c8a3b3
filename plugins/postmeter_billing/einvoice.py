"""An invoice in XML after EN 16931 (CII syntax): as XRechnung for authorities, or to be put into a PDF (ZUGFeRD)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from typing import Any

from drafthorse.models.accounting import ApplicableTradeTax
from drafthorse.models.document import Document
from drafthorse.models.party import TaxRegistration
from drafthorse.models.payment import PaymentMeans, PaymentTerms
from drafthorse.models.tradelines import LineItem

from postmeter import UsageError, prices
from postmeter_billing.invoice import Invoice, Line, Party

SCHEMA = "FACTUR-X_EN16931"


@dataclass(frozen=True)
class Profile:
    """A specification: its name in the document, and what it wants beyond EN 16931."""

    guideline: str
    process: str = ""
    needed: tuple[str, ...] = ()


ZUGFERD = Profile("urn:cen.eu:en16931:2017")
XRECHNUNG = Profile(
    guideline="urn:cen.eu:en16931:2017#compliant#urn:xeinkauf.de:kosit:xrechnung_3.0",
    process="urn:fdc:peppol.eu:2017:poacc:billing:01:1.0",
    needed=(
        *("seller.contact", "seller.phone", "seller.email", "seller.iban"),
        *("buyer.reference", "buyer.email"),
    ),
)

_INVOICE, _CORRECTION = "380", "384"  # UNTDID 1001
_PIECE = "H87"  # UN/ECE Recommendation 20
_SEPA_TRANSFER = "58"  # UNTDID 4461
_STANDARD, _REVERSE_CHARGE, _EXEMPT = "S", "AE", "E"  # UNTDID 5305


def xml(of: Invoice, profile: Profile) -> bytes:
    """The document, which follows the schema of EN 16931; UsageError when the invoice lacks what the profile wants."""
    if missing := lacks(of, profile):
        raise UsageError(f"the invoice {of.number} lacks what this format needs: {', '.join(missing)}")
    document = Document()
    document.context.guideline_parameter.id = profile.guideline
    if profile.process:
        document.context.business_parameter.id = profile.process
    document.header.id = of.number
    document.header.type_code = _CORRECTION if of.corrects else _INVOICE
    document.header.issue_date_time = of.day
    _agree(document.trade.agreement, of)
    for position, line in enumerate(of.lines, 1):
        document.trade.items.add(_item(position, line, of))
    _settle(document.trade.settlement, of)
    made: bytes = document.serialize(schema=SCHEMA)
    return made


def lacks(of: Invoice, profile: Profile) -> list[str]:
    """What the profile wants and the invoice does not say."""
    return [name for name in profile.needed if not attrgetter(name)(of)]


def _agree(agreement: Any, of: Invoice) -> None:
    """Who sells and who buys."""
    seller, buyer = of.seller, of.buyer
    if buyer.reference:
        agreement.buyer_reference = buyer.reference
    _party(agreement.seller, seller)
    if seller.tax_number:
        agreement.seller.tax_registrations.add(_registration("FC", seller.tax_number))
    if seller.contact and (seller.phone or seller.email):
        agreement.seller.contact.person_name = seller.contact
        agreement.seller.contact.telephone.number = seller.phone
        agreement.seller.contact.email.address = seller.email
    _party(agreement.buyer, buyer)
    if buyer.addition:
        agreement.buyer.address.line_two = buyer.addition


def _party(into: Any, party: Party) -> None:
    into.name = party.name
    into.address.postcode = party.postcode
    into.address.line_one = party.street
    into.address.city_name = party.city
    into.address.country_id = party.country
    if party.email:
        into.electronic_address.uri_ID = ("EM", party.email)
    if party.vat_id:
        into.tax_registrations.add(_registration("VA", party.vat_id))


def _registration(scheme: str, value: str) -> TaxRegistration:
    registration = TaxRegistration()
    registration.id = (scheme, value)
    return registration


def _item(position: int, line: Line, of: Invoice) -> LineItem:
    item = LineItem()
    item.document.line_id = str(position)
    item.product.name = line.text
    item.agreement.net.amount = Decimal(prices.decimal(line.price, prices.PRICE))
    item.delivery.billed_quantity = (Decimal(line.quantity), _PIECE)
    item.settlement.trade_tax.type_code = "VAT"
    item.settlement.trade_tax.category_code = _category(of)
    item.settlement.trade_tax.rate_applicable_percent = Decimal(prices.decimal(of.rate, prices.RATE))
    item.settlement.period.start, item.settlement.period.end = line.begin, line.end
    item.settlement.monetary_summation.total_amount = _amount(line.amount)
    return item


def _settle(settlement: Any, of: Invoice) -> None:
    """VAT, sums and payment."""
    settlement.currency_code = of.currency
    settlement.payment_reference = of.number
    settlement.period.start, settlement.period.end = of.period
    settlement.trade_tax.add(_tax(of))
    if of.seller.iban:
        settlement.payment_means.add(_means(of))
    terms = PaymentTerms()
    terms.due = of.due
    settlement.terms.add(terms)
    if of.corrects:
        settlement.invoice_referenced_document.issuer_assigned_id = of.corrects
    sums = settlement.monetary_summation
    sums.line_total = sums.tax_basis_total = _amount(of.net)
    sums.charge_total = sums.allowance_total = _amount(0)
    sums.tax_total = (_amount(of.vat), of.currency)
    sums.grand_total = sums.due_amount = _amount(of.gross)


def _tax(of: Invoice) -> ApplicableTradeTax:
    tax = ApplicableTradeTax()
    tax.calculated_amount, tax.basis_amount = _amount(of.vat), _amount(of.net)
    tax.type_code, tax.category_code = "VAT", _category(of)
    tax.rate_applicable_percent = Decimal(prices.decimal(of.rate, prices.RATE))
    if of.reverse_charge:
        tax.exemption_reason, tax.exemption_reason_code = "Reverse charge", "VATEX-EU-AE"
    elif of.exemption:
        tax.exemption_reason = of.exemption
    return tax


def _means(of: Invoice) -> PaymentMeans:
    means = PaymentMeans()
    means.type_code = _SEPA_TRANSFER
    means.payee_account.iban = "".join(of.seller.iban.split())
    if of.seller.bic:
        means.payee_institution.bic = of.seller.bic
    return means


def _category(of: Invoice) -> str:
    return _STANDARD if of.rate else _REVERSE_CHARGE if of.reverse_charge else _EXEMPT


def _amount(cents: int) -> Decimal:
    return Decimal(prices.decimal(cents, prices.CENTS))
