"""Whom the invoices of an account are for: kept, checked when it is entered, and how far its billing has come."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from postmeter import AccountFacts, Core, UsageError
from postmeter_billing.invoice import Addressee, Buyer
from postmeter_billing.tables import customer
from postmeter_billing.vat_id import well_formed

_BUYER = tuple(Buyer.__dataclass_fields__)
_NEEDED = ("name", "street", "postcode", "city", "country")
_FORMS = {
    "country": (re.compile(r"[A-Z]{2}"), "two letters, such as DE"),
    "email": (re.compile(r"([^\s@<>,;]+@[^\s@<>,;]+)?"), "an e-mail address"),
    "language": (re.compile(r"(en|de)?"), "en or de"),
}
_TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]{0,200}")


@dataclass(frozen=True)
class Customer:
    """An account's billing data; ``language`` empty: as the setting says. The last three are as in the table."""

    account_id: int
    buyer: Buyer
    language: str
    reverse_charge: bool
    billed_for: date
    begins_at: float | None
    overdraft_since: float

    def addressee(self, account: str, language: str) -> Addressee:
        """Whom the account's next invoice is for; ``language`` is that of accounts without one."""
        return Addressee(account, self.language or language, self.buyer, self.reverse_charge)


def find(session: Session, account_id: int, *, lock: bool = False) -> Customer | None:
    """The billing data of an account, locked until the transaction ends if wanted; None when there is none."""
    query = select(customer).where(customer.c.account_id == account_id)
    row = session.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    return None if row is None else _customer(dict(row))


def get(session: Session, account_id: int) -> Customer:
    """The billing data of an account; UsageError when there is none."""
    found = find(session, account_id)
    if found is None:
        raise UsageError("the account has no billing address; enter it with the options of `billing address`")
    return found


def enter(session: Session, account: AccountFacts, changes: Mapping[str, str | bool], billed_for: date) -> None:
    """Enter the billing data of an account, or change what ``changes`` names; UsageError when something is missing.

    Of a new one billing begins after ``billed_for``.
    """
    before = find(session, account.id, lock=True)
    values = _values(before) | {name: _clean(name, value) for name, value in changes.items()}
    _check(values)
    if before is None:
        begin = {"billed_for": billed_for.isoformat(), "overdraft_since": account.created_at}
        session.execute(insert(customer).values(account_id=account.id, **begin, **values))
    else:
        _change(session, account.id, values)


def claim(session: Session, account_id: int, due: date, day: date) -> bool:
    """Whether no run has dealt with the account for the date ``due``; then this one has, with the commit, for ``day``.

    Of several runs at once the others wait for that commit.
    """
    behind = (customer.c.account_id == account_id) & (customer.c.billed_for < due.isoformat())
    claimed = update(customer).where(behind).values(billed_for=day.isoformat()).returning(customer.c.account_id)
    return session.scalar(claimed) is not None


def begin_at(core: Core, session: Session, account_id: int, at: float) -> None:
    """Bill no block that was booked before that instant, and no mail beyond all blocks until now.

    UsageError when nobody has entered whom the account's invoices are for.
    """
    get(session, account_id)
    _change(session, account_id, {"begins_at": at})
    settle_overdraft(session, account_id, core.clock())
    core.invoice_overdraft(session, account_id)


def settle_overdraft(session: Session, account_id: int, at: float) -> None:
    """From that instant on what the account sends beyond all blocks is to be billed; until then all of it was."""
    _change(session, account_id, {"overdraft_since": at})


def anybody_due(session: Session, day: date) -> bool:
    """Whether there is a customer whom no billing run has dealt with for that day."""
    behind = select(customer.c.account_id).where(customer.c.billed_for < day.isoformat()).limit(1)
    return session.scalar(behind) is not None


def _change(session: Session, account_id: int, values: Mapping[str, Any]) -> None:
    session.execute(update(customer).where(customer.c.account_id == account_id).values(values))


def _customer(row: Mapping[str, Any]) -> Customer:
    return Customer(
        account_id=row["account_id"],
        buyer=Buyer(**{name: row[name] for name in _BUYER}),
        language=row["language"],
        reverse_charge=row["reverse_charge"],
        billed_for=date.fromisoformat(row["billed_for"]),
        begins_at=row["begins_at"],
        overdraft_since=row["overdraft_since"],
    )


def _values(before: Customer | None) -> dict[str, Any]:
    """What is entered already, by column."""
    if before is None:
        return {**dict.fromkeys((*_BUYER, "language"), ""), "reverse_charge": False}
    return {**asdict(before.buyer), "language": before.language, "reverse_charge": before.reverse_charge}


def _clean(name: str, given: str | bool) -> str | bool:
    if isinstance(given, bool):
        return given
    if name == "vat_id":
        return _vat_id(given)
    value = " ".join(given.split())
    pattern, wanted = _FORMS.get(name, (_TEXT, "a line of up to 200 printable characters"))
    if not pattern.fullmatch(value) or not _TEXT.fullmatch(value):
        raise UsageError(f"{name.replace('_', ' ')}: {given!r} is not {wanted}")
    return value


def _vat_id(given: str) -> str:
    value = "".join(given.split()).upper()
    if value and not well_formed(value):
        raise UsageError(f"vat id: {given!r} is not a VAT identification number, such as DE123456789")
    return value


def _check(values: Mapping[str, Any]) -> None:
    missing = [name for name in _NEEDED if not values[name]]
    if missing:
        raise UsageError(f"an invoice needs of its recipient: {', '.join(_NEEDED)}; missing: {', '.join(missing)}")
    if values["reverse_charge"] and not values["vat_id"]:
        raise UsageError("only a buyer with a VAT identification number can owe the VAT (reverse charge)")
