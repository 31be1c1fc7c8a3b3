"""What a filter matches, and what is said about one that cannot be understood."""

from __future__ import annotations

import pytest

from postmeter.errors import UsageError
from postmeter.store.engine import Store
from postmeter.store.queue_filter import Filter
from postmeter.store.tables import DEFERRED, Connection, Recipient
from postmeter.store.waiting import overview
from support.postage import accept, add_worker, funded, lease, settle_all, submission
from support.tenants import NOW


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("", "all"),
        ("all", "all"),
        ("domain:example.org state:held", "domain:example.org state:held"),
        ('error:"mailbox full"', "error:'mailbox full'"),
        ("error:421: try", None),
        ("connection:'Web shop'", "connection:'Web shop'"),
    ],
)
def test_a_filter_is_written_as_it_is_read(text: str, again: str | None) -> None:
    if again is None:
        with pytest.raises(UsageError, match="'try' is no condition; there are: account:…, connection:…"):
            Filter.parse(text)
    else:
        assert str(Filter.parse(text)) == again
        assert Filter.parse(again) == Filter.parse(text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("state:bounced", "nothing waits in the state 'bounced'; there are: queued, leased, deferred, held"),
        ("class:mad", "there is no class 'mad'; there are: hard.recipient, "),
        ("domain:", "'domain:' is no condition"),
        ("error:'mailbox", "a quotation mark in the filter is not closed"),
        ("error:a\0b", "is no condition"),  # PostgreSQL would refuse the query
        ("error:" + 1_000 * "x", "a filter has at most 1,000 characters"),
        ('error:"' + 300 * "'" + '"', "a filter has at most 1,000 characters"),  # it is longer when it is written again
    ],
)
def test_what_cannot_be_understood_is_told(text: str, line: str) -> None:
    with pytest.raises(UsageError, match=line):
        Filter.parse(text)


def test_words_are_not_too_long_either_so_that_an_order_can_be_read_again() -> None:
    with pytest.raises(UsageError, match="a filter has at most 1,000 characters"):
        Filter.of(["error:" + 1_000 * "x"])
    chosen = Filter.of(["error:" + 150 * "'"])
    assert Filter.parse(str(chosen)) == chosen


@pytest.fixture
def queue(store: Store) -> Store:
    """Two recipients of account 1 that were tried, and one of account 2."""
    funded(store)
    funded(store, account=2)
    worker = add_worker(store)
    with store.write() as session:
        session.add(Connection(id=7, account_id=1, name="Web shop", username="shop-1", secret=b"", created_at=NOW))
    accept(store, submission(2))
    settle_all(
        store,
        lease(store, worker),
        worker,
        DEFERRED,
        reply="452 Mailbox full, 100 % used",
        provider="Google",
        again=NOW,
    )
    with store.write() as session:
        first = session.query(Recipient).filter(Recipient.n == 0).one()
        first.failure, first.route = "policy.auth", "relay.example:25"
    accept(store, submission(account=2))
    return store


@pytest.mark.parametrize(
    ("text", "matched"),
    [
        ("all", 3),
        ("account:'account 1'", 2),
        ("domain:EXAMPLE.net", 3),
        ("domain:@example.net", 3),
        ("domain:ample.net", 0),
        ("domain:exam_le.net", 0),
        ("provider:google", 2),
        ("state:queued", 1),
        ("state:deferred provider:Google", 2),
        ("state:queued provider:Google", 0),
        ("error:'mailbox FULL'", 2),
        ("error:100_%", 0),
        ("class:policy.auth", 1),
        ("class:policy", 1),
        ("route:Relay.example:25", 1),
        ("connection:shop-1", 3),
        ("connection:'Web shop'", 3),
        ("message:nothing", 0),
    ],
)
def test_all_conditions_hold(queue: Store, text: str, matched: int) -> None:
    with queue.read() as session:
        assert overview(session, Filter.parse(text)).total == matched


@pytest.mark.parametrize("text", ["account:nobody", "connection:none"])
def test_an_account_or_connection_that_is_not_there_is_told(queue: Store, text: str) -> None:
    with queue.read() as session, pytest.raises(UsageError, match="there is no"):
        overview(session, Filter.parse(text))


def test_the_queue_at_a_glance(queue: Store) -> None:
    with queue.read() as session:
        seen = overview(session, Filter())
    assert (seen.total, seen.states, seen.oldest, seen.looked_at) == (3, {"queued": 1, "deferred": 2}, NOW, 3)
    assert [(one.name, one.recipients) for one in seen.accounts] == [("account 1", 2), ("account 2", 1)]
    assert [(one.name, one.recipients) for one in seen.providers] == [("Google", 2), ("", 1)]
    assert [(one.name, one.recipients) for one in seen.domains] == [("example.net", 3)]
    assert [(one.name, one.recipients) for one in seen.reasons] == [("452 Mailbox full, 100 % used", 2), ("", 1)]
    assert len(seen.first) == 3
