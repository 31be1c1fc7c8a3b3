"""Two accounts that have invoices."""

from __future__ import annotations

import pytest

from support.billing import DAY
from support.bureau import HOSTILE, Bureau
from support.panel import NOW, House


@pytest.fixture
def office(house: House) -> Bureau:
    """Two accounts that were billed this month: shop has the invoice 1, forum 2."""
    office = Bureau(house)
    office.now = NOW - 20 * DAY
    office.sell("forum", 50_000, name=f"Forum {HOSTILE}")
    office.sell("shop", 25_000)
    for name in ("shop", "forum"):
        office.run(account=name)
    office.now = NOW
    return office
