"""The billing of the panel's house: its office, people who see its pages, and what those say."""

from __future__ import annotations

import html
import re
from typing import Any

from attrs import evolve
from flask import Flask

from postmeter_billing import customers
from postmeter_billing.customers import Customer
from postmeter_billing.plugin import Billing
from support.billing import ADDRESS, SETTINGS, Office
from support.panel import Browser, House

SHOP, ADDRESS_PAGE, ALL = "/accounts/shop/billing/", "/accounts/shop/billing/address", "/operator/billing/"
HOSTILE = "<script>alert(1)</script>"


class Bureau(Office):
    """The office of the house's relay: the same store, the same time."""

    def __init__(self, house: House) -> None:
        self.house = house
        super().__init__(house.store, evolve(SETTINGS, billing_day=1), house.now)

    def visit(self, email: str, app: Flask | None = None) -> Browser:
        """Somebody who is logged in to the panel with billing's pages."""
        browser = Browser(app or self.house.app(own_settings={"billing": self.settings}, billing=Billing()))
        assert browser.log_in(email).status_code == 302
        return browser

    def sell(self, account: str, *sizes: int, **changes: str) -> None:
        """Blocks, and an address."""
        for size in sizes:
            self.book(self.house.ids[account], size)
        self.enter(self.house.ids[account], **ADDRESS | changes)


def customer(office: Bureau, account: str = "shop") -> Customer | None:
    """Whom the account's invoices are for."""
    with office.store.read() as session:
        return customers.find(session, office.house.ids[account])


def changes(house: House) -> list[tuple[str, str, int | None, dict[str, Any]]]:
    """What the audit log says: action, subject, account, facts; the latest first."""
    return [(one.action, one.subject, one.account_id, dict(one.facts)) for one in house.changes()]


def words(page: str) -> str:
    """What is read, in one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())
