"""Mail to abuse@ and postmaster@ on its way to the operator: to whom it goes, and for nobody's money."""

from __future__ import annotations

import pytest

from postmeter.message.handling import BULK
from postmeter.message.passing_on import PassedOn
from postmeter.store import accounts
from postmeter.store.engine import Store
from postmeter.store.passing_on import PassingOn
from postmeter.store.secrets import NewPassword
from postmeter.store.tables import Content, Message
from support.postage import recipients, rows
from support.tenants import NOW

MAIL = PassedOn("abuse@mail.example.net", "joe@example.org", b"Subject: Stop\r\n\r\nIt is spam.\r\n")


def passed(store: Store, to: str = "") -> tuple[int, list[str]]:
    """How many the mail goes to, and who they are."""
    with store.write() as session:
        [count] = PassingOn("mail.example.net", to)(session, [(MAIL, NOW)])
    return count, [one.forward_path for one in recipients(store)]


@pytest.fixture
def operators(store: Store) -> list[str]:
    """Two operators, and somebody who is none."""
    password = NewPassword("x", "hashed")
    emails = [("ann@relay.example", True), ("kim@relay.example", True), ("joe@shop.example", False)]
    with store.write() as session:
        for email, operator in emails:
            accounts.add_user(session, email, operator, password, NOW)
    return [email for email, operator in emails if operator]


def test_it_goes_to_the_address_in_the_settings(store: Store, operators: list[str]) -> None:
    assert passed(store, "desk@relay.example") == (1, ["desk@relay.example"])
    [message], [content] = rows(store, Message), rows(store, Content)
    assert (message.account_id, message.reverse_path) == (0, "")
    assert message.subject == "Mail to abuse@mail.example.net: Stop"
    assert MAIL.original in content.data
    assert recipients(store)[0].charge == "free"
    assert (message.priority, recipients(store)[0].priority) == (BULK, BULK)  # strangers may send a lot of it


def test_without_one_it_goes_to_all_operators(store: Store, operators: list[str]) -> None:
    count, paths = passed(store)
    assert (count, sorted(paths)) == (2, operators)


@pytest.mark.parametrize("to", ["", "nobody"])
def test_where_there_is_nobody_it_goes_to_nobody(store: Store, to: str) -> None:
    assert passed(store, to) == (0, [])
