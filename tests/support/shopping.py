"""An account that books blocks in the panel: prices, what was booked and noted, and what a page says."""

from __future__ import annotations

import html
import re
from datetime import date
from typing import Any

from postmeter import Tariff, hookimpl, prices
from postmeter.config import Block as BlockSettings
from postmeter.store import quota
from postmeter.store.quota import book_block
from postmeter.store.terms import set_terms
from support.panel import OWNER, Browser, House

QUOTA, BOOK, CONFIRM = (f"/accounts/shop/quota/{path}" for path in ("", "book", "book/confirm"))
KEY = "an-order-of-the-shop"
DAY = 86_400.0
LIST = prices.PriceList.parse({"25000": "0.00095", "100000": "0.00090"})
TARIFF = Tariff(LIST, "EUR", 1900, date(2026, 12, 1), "dashboard.show", addressed=True)


class Prices:
    """Says what mails cost: ``answer``, or what it raises."""

    def __init__(self, answer: Tariff | Exception | None = TARIFF) -> None:
        self.answer = answer

    @hookimpl
    def tariff(self, account_id: int) -> Tariff | None:
        """The prices of every account."""
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def agreed(house: House, **terms: Any) -> None:
    """The shop has a billing agreement, unless ``terms`` say else."""
    with house.store.write() as session:
        set_terms(session, house.ids["shop"], house.now, **{"agreement": True, **terms})


def visit(house: House, email: str = OWNER, tariff: Tariff | Exception | None = TARIFF) -> Browser:
    """Somebody who is logged in to a panel with these prices."""
    browser = Browser(house.app(prices=Prices(tariff)))
    assert browser.log_in(email).status_code == 302
    return browser


def order(size: int = 50_000, **changes: str) -> dict[str, str]:
    """What the confirmed form sends."""
    return {"size": str(size), "renews": "y", "request": KEY, **changes}


def confirmed(size: int = 50_000) -> str:
    """The page on which an order is confirmed."""
    return f"{CONFIRM}?size={size}&renews=y&request={KEY}"


def blocks(house: House, account: str = "shop") -> list[tuple[int, bool]]:
    """Size of each paid block, and whether it renews."""
    with house.store.read() as session:
        facts = quota.quota_of(session, house.ids[account], house.now)
    return [(block.size, block.renews) for block in facts.blocks if block.kind == "paid"]


def booked(house: House, size: int = 25_000, **options: Any) -> int:
    """A block that the shop has."""
    with house.store.write() as session:
        return book_block(session, house.ids["shop"], size, BlockSettings(), house.now, **options)


def changes(house: House) -> list[tuple[str, str, dict[str, Any]]]:
    """What the audit log says: action, subject, facts; the latest first."""
    return [(entry.action, entry.subject, dict(entry.facts)) for entry in house.changes()]


def words(page: str) -> str:
    """What is read, in one line."""
    text = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())
    return re.sub(r" ([,.)])", r"\1", text)
