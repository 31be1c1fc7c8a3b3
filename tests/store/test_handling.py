"""How a connection's messages are handled: set by people, known to a log-in, and kept with each message."""

from __future__ import annotations

from dataclasses import replace

import pytest

from postmeter.errors import UsageError
from postmeter.message.handling import Handling
from postmeter.store.connections import access, add_connection, connection_by_name, connections_of
from postmeter.store.engine import Store
from postmeter.store.handling import lifetime_of, priority_of, set_handling
from postmeter.store.timeline import message_facts
from support.postage import accept, add_worker, funded, lease, recipients, submission
from support.tenants import NOW, SECRETS, make_account, make_domain

STRICT = Handling(priority=0, lifetime=600, tls_required=True)


def test_a_log_in_knows_how_the_connections_messages_are_handled(store: Store) -> None:
    with store.write() as session:
        account = make_account(session)
        make_domain(session, account)
        username = add_connection(session, SECRETS, account, "shop", ["shop.example"], NOW).username
        before = access(session, username)
        set_handling(session, connection_by_name(session, account, "shop"), STRICT)
    with store.read() as session:
        after = access(session, username)
        assert (before and before.handling, after and after.handling) == (Handling(), STRICT)
        assert [one.handling for one in connections_of(session, account.id)] == [STRICT]


def test_a_message_keeps_its_handling_until_it_leaves(store: Store) -> None:
    funded(store)
    asked = replace(submission(), priority=0, lifetime=600, tls_required=True)
    accept(store, asked)
    [leased] = lease(store, add_worker(store))
    assert (leased.message.priority, leased.message.lifetime, leased.message.tls_required) == (0, 600, True)
    assert [one.priority for one in recipients(store)] == [0]
    with store.read() as session:
        facts = message_facts(session, asked.id)
    assert facts is not None
    assert facts.handling == STRICT


def test_what_people_enter_is_read_or_refused_with_a_sentence() -> None:
    assert (priority_of(" Bulk "), lifetime_of(" 10m"), lifetime_of("0")) == (2, 600, 0)
    with pytest.raises(UsageError, match="'fast' is no priority; there are: urgent, normal, bulk"):
        priority_of("fast")
    with pytest.raises(UsageError, match="'6d' is no lifetime between 1 minute and 5 days"):
        lifetime_of("6d")
