"""What is over goes, what has grown old takes less room, and the rest stays."""

from __future__ import annotations

from postmeter.store import providers
from postmeter.store.counters import BUCKET, Change, count
from postmeter.store.engine import Store
from postmeter.store.operator_tables import ProviderSuspension
from postmeter.store.recipient_tables import Suppression
from postmeter.store.suppressions import MANUAL, suppress
from postmeter.store.tables import Counter
from postmeter.store.tidying import Tidying
from support.postage import rows
from support.tenants import NOW, make_account

DAY = 86_400


def test_suppressions_that_are_over_and_old_quarters_go(store: Store) -> None:
    with store.write() as session:
        account = make_account(session).id
        for name, days in (("joe", 1), ("ann", 30)):
            suppress(session, account, f"{name}@example.org", MANUAL, NOW, expires_at=NOW + days * DAY)
        count(session, [Change(account, 7, NOW + n * BUCKET, "arrived", 1) for n in range(4)])
    tidying = Tidying()
    with store.write() as session:
        assert tidying(session, [NOW, NOW + 10 * DAY]) == [0, 4]
    assert [row.address for row in rows(store, Suppression)] == ["ann@example.org"]
    assert [(row.bucket, row.arrived) for row in rows(store, Counter)] == [(NOW, 4)]


def test_restrictions_of_providers_go_when_they_are_over(store: Store) -> None:
    with store.write() as session:
        for name, until in (("Yahoo", NOW + 60), ("Google", NOW + 600), ("Apple", None)):
            providers.suspend(session, name, "too much", until, NOW, "joe")
    with store.write() as session:
        assert Tidying()(session, [NOW + 60]) == [1]
    assert [row.provider for row in rows(store, ProviderSuspension)] == ["Apple", "Google"]
