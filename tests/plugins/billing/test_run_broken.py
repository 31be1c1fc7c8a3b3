"""Runs at the same time, and runs that break off anywhere: no number is missing, and nothing is billed twice."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, func, select

from postmeter import UsageError
from postmeter.store.engine import Store
from postmeter_billing import run, tables
from postmeter_billing.cancel import cancel
from postmeter_billing.run import Outcome
from support.billing import DAY, TODAY, Office
from support.tenants import NOW

THREADS, ACCOUNTS = 8, 12


def numbers(office: Office) -> list[str]:
    return [entry.number for entry in office.entries()]


def without_gaps(count: int) -> list[str]:
    return [f"2027-{n:06d}" for n in range(1, count + 1)]


def all_at_once(work: Callable[[int], object]) -> None:
    """Do the work in many threads; what one raises is raised."""
    failures: list[BaseException] = []
    start = threading.Barrier(THREADS)

    def one(n: int) -> None:
        start.wait(20)
        try:
            work(n)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if failures:
        raise failures[0]


def test_many_runs_at_once_bill_everybody_once(store: Store) -> None:
    office = Office(store)
    for n in range(ACCOUNTS):
        office.open(f"account{n}", 25_000, 50_000, overdraft=1000)
    all_at_once(lambda _: office.run())
    assert numbers(office) == without_gaps(ACCOUNTS)
    assert {entry.net for entry in office.entries()} == {2375 + 4750 + 95}
    assert len(office.blocks_billed()) == len(set(office.blocks_billed())) == 2 * ACCOUNTS


def test_runs_while_blocks_are_booked_bill_each_once(store: Store) -> None:
    office = Office(store)
    accounts = [office.open(f"account{n}", 25_000) for n in range(4)]

    def work(n: int) -> None:
        for _ in range(5):
            office.book(accounts[n % 4], 25_000) if n < 4 else office.run()

    all_at_once(work)
    office.now = NOW + DAY
    office.run()
    assert numbers(office) == without_gaps(len(office.entries()))
    assert Counter(office.blocks_billed()).most_common(1)[0][1] == 1
    assert len(office.blocks_billed()) == 4 * 6
    assert sum(entry.net for entry in office.entries()) == 4 * 6 * 2375


@pytest.mark.parametrize("table", ["billing_customer", "billing_line", "billing_counter", "billing_invoice"])
def test_a_run_that_breaks_off_goes_on_where_it_was(store: Store, table: str) -> None:
    """Break off at each step of an account's transaction, always at the second account that is not billed yet."""
    office = Office(store)
    accounts = [office.open(f"account{n}", 25_000, overdraft=1000) for n in range(4)]
    for done in (1, 2, 3):
        claims = done + 1 if table == "billing_customer" else 1  # who is billed already is asked for, too
        with breaking(office.lent._opened(), table, after=claims), pytest.raises(Crash):
            office.run()
        assert numbers(office) == without_gaps(done)
        assert [office.overdraft(one) for one in accounts] == [0] * done + [1000] * (4 - done)
    office.run()
    assert numbers(office) == without_gaps(4)
    assert {entry.net for entry in office.entries()} == {2375 + 95}
    assert len(set(office.blocks_billed())) == 4


def test_a_run_that_breaks_off_before_its_commit_has_done_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = Office(store)
    account_id = office.open("acme", 25_000, overdraft=1000)
    write = run.book.write

    def written_in_vain(*facts: Any) -> None:
        write(*facts)
        raise Crash

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(run.book, "write", written_in_vain)
        office.run()
    assert (numbers(office), office.overdraft(account_id), office.blocks_billed()) == ([], 1000, [])
    office.run()
    assert numbers(office) == without_gaps(1)


class Crash(BaseException):
    """The end of the process, as the database sees it."""


@contextmanager
def breaking(store: Store, table: str, after: int) -> Iterator[None]:
    """Raise Crash before the table is written, after so many times."""
    left = after

    def statement(_connection: Any, _cursor: Any, sql: str, *_: Any) -> None:
        nonlocal left
        if sql.startswith((f"INSERT INTO {table}", f"UPDATE {table}")):
            left -= 1
            if left < 0:
                raise Crash

    event.listen(store.engine, "before_cursor_execute", statement)
    try:
        yield
    finally:
        event.remove(store.engine, "before_cursor_execute", statement)


def test_what_fails_for_one_account_keeps_nobody_else_from_being_billed(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    office = Office(store)
    first, broken, last = (office.open(name, 25_000, overdraft=1000) for name in ("acme", "broken", "zeta"))
    with monkeypatch.context() as patch:
        patch.delitem(run.TEXTS, "de")
        office.enter(broken, language="de")
        outcomes = office.run()
    assert outcomes[1] == Outcome("broken", why="failed: KeyError: 'de'", failed=True)
    assert [one.number for one in outcomes] == ["2027-000001", "", "2027-000002"]
    assert [office.overdraft(one) for one in (first, broken, last)] == [0, 1000, 0]
    (record,) = caplog.records
    assert record.getMessage() == "the account broken could not be billed"
    assert record.exc_info
    assert [one.number for one in office.run()] == ["", "2027-000003", ""]


def test_a_run_that_is_overtaken_by_one_of_a_later_day_ends(store: Store) -> None:
    office = Office(store)
    office.open("acme", 25_000)
    office.open("zeta", 25_000)
    office.now += 20 * DAY
    overtaken = run.Run.of(office.core, office.settings, TODAY).bill()
    office.run(account="zeta")
    with pytest.raises(UsageError, match="an invoice of 2027-01-15 cannot be written: there is one of a later day"):
        list(overtaken)
    assert numbers(office) == without_gaps(1)


def test_the_database_itself_refuses_a_block_on_a_second_invoice(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office(store)
    office.open("acme", 25_000)
    office.run()
    monkeypatch.setattr(run.book, "billed", lambda session, blocks: set())
    office.now += DAY
    (outcome,) = office.run()
    assert (outcome.failed, outcome.why.partition(": (")[0]) == (True, "failed: IntegrityError")
    assert numbers(office) == without_gaps(1)


def test_many_who_take_an_invoice_back_do_it_once(store: Store) -> None:
    office = Office(store)
    office.open("acme", 25_000)
    office.run()
    refused: list[Exception] = []

    def work(_: int) -> None:
        try:
            cancel(office.core, office.settings, "2027-000001", anew=False)
        except Exception as error:
            refused.append(error)

    all_at_once(work)
    assert numbers(office) == without_gaps(2)
    assert {str(error) for error in refused} == {"the invoice 2027-000001 was taken back already, by 2027-000002"}
    assert len(refused) == THREADS - 1


def test_the_lines_in_the_tables_add_up_to_the_invoices(store: Store) -> None:
    office = Office(store)
    for n in range(3):
        office.open(f"account{n}", 25_000 * (n + 1), overdraft=777 * n)
    office.run()
    with store.read() as session:
        sums = select(tables.line.c.number, func.sum(tables.line.c.amount)).group_by(tables.line.c.number)
        assert dict(map(tuple, session.execute(sums))) == {entry.number: entry.net for entry in office.entries()}
