"""120 days of a relay: a million units, crashes, retries, late bounces, ends, renewals and invoices (I4)."""

from __future__ import annotations

import os
import random
from collections import Counter as Tally
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from postmeter.store.engine import Store
from postmeter.store.quota_tables import Ledger
from postmeter.store.tables import BOUNCED, DEFERRED, DELIVERED, EXPIRED, LEASED, Counter, Event, Recipient
from support.quota_model import DAY, NaiveBlock
from support.quota_simulation import Simulation
from support.tenants import NOW

UNITS = 1_000_000  # one or two minutes; POSTMETER_TEST_UNITS asks for another number
DAYS = 120
STEP = 1_900  # units that one step takes, about
KINDS = (
    *("quota_low", "quota_exhausted", "quota_overdraft"),
    *("quota_booked", "quota_renewed", "quota_expired", "quota_expiring"),
)


@pytest.mark.timeout(600)
def test_120_days_are_exact_to_one_unit(store: Store) -> None:
    units = int(os.environ.get("POSTMETER_TEST_UNITS", UNITS))
    simulation = Simulation(store, random.Random(4711), units / STEP / (DAYS * DAY))
    simulation.begin()
    while sum(account.arrived for account in simulation.accounts.values()) < units:
        simulation.step()
    compare_all(simulation)
    assert simulation.now > NOW + 0.8 * DAYS * DAY
    told = Tally(kind for account in simulation.accounts.values() for kind, *_ in account.told)
    assert min(told[kind] for kind in KINDS) > 0, told
    assert min(simulation.done[name] for name in ("crash", "lost", "refused", EXPIRED, DEFERRED)) > 10


def compare_all(simulation: Simulation) -> None:
    """At the end: every sum that the store can tell, and every notice (I4)."""
    with simulation.store.read() as session:
        compare_charges(simulation, session)
        compare_ledger(simulation, session)
        for number, account in simulation.accounts.items():
            query = select(Event.kind, Event.at, Event.facts).where(Event.account_id == number)
            told = session.execute(query.where(Event.kind.like("quota%")).order_by(Event.id)).all()
            assert [tuple(one) for one in told] == [(kind, at, plain(facts)) for kind, at, facts in account.told]
        states = Tally()
        for state, number in session.execute(select(Recipient.state, func.count()).group_by(Recipient.state)):
            states[state] = number
        names = ("arrived", "delivered", "bounced")
        sums = session.execute(select(*(func.sum(getattr(Counter, name)) for name in names))).one()
    accepted = sum(account.arrived for account in simulation.accounts.values())
    ended = states[DELIVERED], states[BOUNCED] + states[EXPIRED]
    assert tuple(map(int, sums)) == (sum(states.values()), *ended) == (accepted, *ended)
    assert (states[DELIVERED], states[BOUNCED]) == (simulation.done[DELIVERED], simulation.done[BOUNCED])
    assert states.get(LEASED, 0) == sum(len(lot.recipients) for lot in simulation.held)


def compare_charges(simulation: Simulation, session: Session) -> None:
    """Reserved, charged and released recipients, by account and block."""
    where = (Recipient.account_id, Recipient.block_id, Recipient.charge)
    found: Tally[Any] = Tally()
    for number, block, charge, n in session.execute(select(*where, func.count()).group_by(*where)):
        found[number, charge if charge == "released" else block, charge] += n
    expected: Tally[Any] = Tally()
    for number, account in simulation.accounts.items():
        expected[number, "released", "released"] = account.released
        expected[number, None, "reserved"] = account.overdraft_reserved
        expected[number, None, "charged"] = account.overdraft_charged
        for block in account.blocks:
            expected[number, block.id, "reserved"] = block.reserved
            expected[number, block.id, "charged"] = block.charged
    assert +found == +expected


def compare_ledger(simulation: Simulation, session: Session) -> None:
    """The sums of the entries alone."""
    where = (Ledger.account_id, Ledger.block_id, Ledger.kind)
    sums: Tally[Any] = Tally()
    for number, block, kind, units in session.execute(select(*where, func.sum(Ledger.units)).group_by(*where)):
        sums[number, block, kind] = int(units)
    for number, account in simulation.accounts.items():
        for block in account.blocks:
            entries = {kind: n for (a, b, kind), n in sums.items() if (a, b) == (number, block.id)}
            charged = entries.pop("charge", 0)
            assert (sum(entries.values()), charged, -entries.get("expire", 0)) == (
                block.left,
                block.charged,
                block.lost,
            )
            assert -entries.get("reserve", 0) - entries.get("release", 0) - charged == block.reserved
        assert -sums[number, None, "overdraft"] == account.overdraft
        assert sums[number, None, "charge"] == account.overdraft_charged
        assert sums[number, None, "invoice"] == account.invoiced


def plain(facts: dict[str, Any]) -> dict[str, Any]:
    """A naive fact as the store tells it."""
    return {name: value.id if isinstance(value, NaiveBlock) else value for name, value in facts.items()}
