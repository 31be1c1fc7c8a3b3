"""A process of submitters that tells what it was promised, until the quota is used up or somebody kills it."""

from __future__ import annotations

import os
import random
import threading
from dataclasses import replace
from pathlib import Path

from postmeter.store import queue
from postmeter.store.accept import Acceptance, Accepted
from postmeter.store.engine import Store
from postmeter.store.renewal import look_after
from postmeter.store.tables import BOUNCED, DELIVERED
from support.postage import add_worker, lease, settle_all, submission
from support.tenants import NOW


class Dropped(Exception):
    """The transaction is rolled back."""


def submit(url: str, number: int, threads: int, promises: Path) -> None:
    """Submit in many threads; ``promises`` gets a line "id recipients" for each message, after its commit."""
    store = Store.open(url)
    worker = add_worker(store, NOW + 1e9)
    told = os.open(promises, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def run(n: int) -> None:
        try:
            _run(store, random.Random(f"{number} {n}"), f"{number:02d}{n:02d}", worker, told)
        except BaseException as error:
            os.write(told, f"error {error!r}\n".encode())

    running = [threading.Thread(target=run, args=(n,)) for n in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    store.close()


def _run(store: Store, dice: random.Random, name: str, worker: int, told: int) -> None:
    change = Acceptance()
    for turn in range(1_000):
        at = NOW + turn * 0.01
        message = replace(submission(dice.randint(1, 9), at=at), id=f"{name}{turn:022d}")
        if dice.random() < 0.2:
            _drop(store, change, message)
        with store.write() as session:
            [answer] = change(session, [message])
        if isinstance(answer, Accepted):
            os.write(told, f"{message.id} {message.recipients}\n".encode())
        elif message.recipients == 1:
            return
        if dice.random() < 0.3:
            sent = dice.random() < 0.7
            leases = lease(store, worker, at, 20)
            settle_all(store, leases, worker, DELIVERED if sent else BOUNCED, at=at, transmitted=sent)
        if dice.random() < 0.1:
            with store.write() as session:
                look_after(session, [at])


def _drop(store: Store, change: Acceptance, message: object) -> None:
    try:
        with store.write() as session:
            change(session, [message])  # type: ignore[list-item]
            raise Dropped
    except Dropped:
        pass


def left_behind(store: Store) -> None:
    """Another worker takes over what the killed ones had leased."""
    with store.write() as session:
        queue.take_over(session, NOW + 2e9)
