"""Which pool the mail of an account or a connection leaves from."""

from __future__ import annotations

from postmeter.config import Settings
from postmeter.store import pools
from postmeter.store.connections import add_connection, connection_by_name
from postmeter.store.engine import Store
from postmeter.store.own_mail import OPERATOR
from postmeter.store.pools import Assigned
from postmeter.store.quota import book_block
from postmeter.store.terms import set_terms
from support.tenants import NOW, SECRETS, make_account, make_domain


def test_a_connection_an_account_and_a_paid_block_are_told_apart(store: Store) -> None:
    with store.write() as session:
        acme, other = make_account(session), make_account(session, "other")
        make_domain(session, acme)
        shop = add_connection(session, SECRETS, acme, "shop", ["shop.example"], NOW).connection_id
        assert pools.assigned(session, acme.id, shop) == Assigned("", "", False)
        assert pools.assigned(session, other.id, shop) == Assigned("", "", False)
        assert pools.assigned(session, OPERATOR, OPERATOR) == Assigned("", "", True)
        book_block(session, acme.id, 25_000, Settings().block, NOW)
        set_terms(session, acme.id, NOW, pool="bulk")
        session.expire_all()
        connection = connection_by_name(session, acme, "shop")
        pools.set_pool(session, connection, "own")
        assert pools.assigned(session, acme.id, shop) == Assigned("own", "bulk", True)
        assert pools.chosen(session) == {"bulk": ["acme"], "own": ["acme: shop"]}
        pools.set_pool(session, connection, "")
        assert pools.assigned(session, acme.id, shop) == Assigned("", "bulk", True)
