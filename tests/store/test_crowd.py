"""64 submitters in several processes, of which some are killed: every promise is kept and every unit is there."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from postmeter.quota.level import EXHAUSTED, LOW
from postmeter.store.engine import Store
from support.crowd import left_behind, submit
from support.postage import add_account, add_block, audit, recipients, told_quota
from support.tenants import NOW

PROCESSES, THREADS = 4, 16
SIZES = (2_000, 1_000, 1_500)


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.timeout(180)
def test_r31_64_submitters_of_whom_some_are_killed_take_every_unit_once(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    with store.write() as session:
        add_account(session, threshold=1_000)
        for n, size in enumerate(SIZES):
            add_block(session, 1, size, NOW + (1_000 if n else 0.05))  # the first one ends on the way
    promises = tmp_path / "promises"
    context = multiprocessing.get_context("spawn")
    crowd = [context.Process(target=submit, args=(store_url, n, THREADS, promises)) for n in range(PROCESSES)]
    for process in crowd:
        process.start()
    for n, victim in enumerate(crowd[:2]):
        wait_until(lambda n=n: promises.exists() and promises.stat().st_size > 3_000 * (n + 1))  # type: ignore[misc]
        victim.kill()
    for process in crowd:
        process.join(90)
    assert [process.exitcode for process in crowd] == [-9, -9, 0, 0]

    told = [line.split(" ", 1) for line in promises.read_text().splitlines()]
    assert [text for name, text in told if name == "error"] == []
    kept = Counter(recipient.message_id for recipient in recipients(store))
    for name, number in told:
        assert kept[name] == int(number)
    left_behind(store)
    assert [kind for kind, _ in told_quota(store)] == [LOW, EXHAUSTED]
    audit(store)
