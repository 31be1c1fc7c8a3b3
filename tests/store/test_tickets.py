"""Tickets: each good for one thing, once, for a while."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from postmeter.store import tickets
from postmeter.store.engine import Store
from postmeter.store.panel_tables import Ticket
from postmeter.store.tickets import HOUR, INVITATION, KEPT, PASSWORD
from support.tenants import NOW, SECRETS, make_account

ANN = "ann@acme.example"


def test_a_ticket_is_used_once(store: Store) -> None:
    with store.write() as session:
        token = tickets.issue(session, SECRETS, PASSWORD, ANN, NOW, HOUR)
    with store.write() as session:
        assert tickets.find(session, SECRETS, PASSWORD, token, NOW) is not None
        used = tickets.use(session, SECRETS, PASSWORD, token, NOW)
        assert used is not None
        assert (used.email, used.account_id, used.expires_at) == (ANN, None, NOW + HOUR)
    with store.write() as session:
        assert tickets.use(session, SECRETS, PASSWORD, token, NOW) is None
        assert tickets.find(session, SECRETS, PASSWORD, token, NOW) is None


@pytest.mark.parametrize(("purpose", "token", "at"), [(INVITATION, "", 0), (PASSWORD, "x", 0), (PASSWORD, "", HOUR)])
def test_a_ticket_is_good_for_its_purpose_and_its_time(store: Store, purpose: str, token: str, at: float) -> None:
    with store.write() as session:
        issued = tickets.issue(session, SECRETS, PASSWORD, ANN, NOW, HOUR)
        assert tickets.use(session, SECRETS, purpose, token or issued, NOW + at) is None


def test_a_new_ticket_ends_the_one_before_and_no_other(store: Store) -> None:
    with store.write() as session:
        account = make_account(session)
        other = tickets.issue(session, SECRETS, INVITATION, ANN, NOW, HOUR, account_id=account.id, role="viewer")
        first, second = (tickets.issue(session, SECRETS, PASSWORD, ANN, NOW, HOUR) for _ in range(2))
        assert tickets.find(session, SECRETS, PASSWORD, first, NOW) is None
        assert tickets.find(session, SECRETS, PASSWORD, second, NOW) is not None
        tickets.end(session, PASSWORD, ANN)
        assert tickets.find(session, SECRETS, PASSWORD, second, NOW) is None
        assert tickets.find(session, SECRETS, INVITATION, other, NOW) is not None


def test_the_database_does_not_hold_the_secret_and_forgets_old_tickets(store: Store) -> None:
    with store.write() as session:
        token = tickets.issue(session, SECRETS, PASSWORD, ANN, NOW, HOUR)
        assert session.scalars(select(Ticket.digest)).one() == SECRETS.hash_token(token) != token.encode()
        tickets.issue(session, SECRETS, PASSWORD, "bob@acme.example", NOW + HOUR + KEPT + 1, HOUR)
        assert session.scalars(select(Ticket.email)).all() == ["bob@acme.example"]
