"""The plugin's pages in the panel."""

from __future__ import annotations

from collections.abc import Sequence

from postmeter import Core, Page
from postmeter_billing.account_pages import AccountPages
from postmeter_billing.operator_pages import OperatorPages


def pages(core: Core) -> Sequence[Page]:
    """One for each account, for who has the right to bill, and one for the operator."""
    account, operator = AccountPages(core).blueprint(), OperatorPages(core).blueprint()
    return [
        Page(N_("Invoices"), "account", account, "show", reads="bill", changes="bill"),
        Page(N_("Billing"), "operator", operator, "show"),
    ]


def N_(title: str) -> str:
    """Mark a title for translation."""
    return title
