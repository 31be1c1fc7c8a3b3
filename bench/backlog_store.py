"""A queue with a history: accounts, and mail that waits, written into the database past everything else."""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from postmeter.config import Settings
from postmeter.delivery.window import Window
from postmeter.message.identifier import new_id
from postmeter.message.signature import RSA
from postmeter.store import queue
from postmeter.store.accounts import add_account
from postmeter.store.base import table
from postmeter.store.domains import NewKey, add_domain
from postmeter.store.engine import Store
from postmeter.store.picking import Picking, Wish
from postmeter.store.secrets import NewPassword, Secrets
from postmeter.store.tables import DEFERRED, QUEUED, Account, Content, Message, Recipient

DEAD = "dead.example"  # the domain of the provider that answers nobody
PROVIDER = "Dead"
HOUR = 3600.0
BATCH = 5_000
CONTENT = b"From: orders@sender.example\r\nTo: joe@example.org\r\nSubject: Your order\r\n\r\n" + b"Thank you!\r\n" * 40


@dataclass(frozen=True)
class Shape:
    """Recipients of so many accounts at so many domains, a ``dead`` share of them at one that answers nobody.

    A share is ``due`` already, since up to an hour; the others will be within three.
    """

    recipients: int
    domains: int
    accounts: int
    dead: float
    due: float


@dataclass(frozen=True)
class Customer:
    """An account and its sending domain."""

    account_id: int
    domain: str


def make_customers(store: Store, data: Path, number: int) -> list[Customer]:
    """So many, whose mail can be signed."""
    secrets, key, password = Secrets.open(data), NewKey.generate(RSA), NewPassword("unknown", "no hash")
    made = []
    with store.write() as session:
        for n in range(number):
            name = f"crowd{n}.example"
            account = add_account(session, name, f"owner@{name}", False, Settings(), password, time.time()).account_id
            row = session.get_one(Account, account)
            add_domain(session, secrets, row, name, "https://sender.example/help", True, [key], time.time())
            made.append(Customer(account, name))
    return made


def fill(store: Store, customers: list[Customer], shape: Shape) -> None:
    """Let all of it wait; in the order in which it would have been accepted."""
    chance, begin = random.Random(1), time.time() - 24 * HOUR
    step = 23 * HOUR / shape.recipients
    mails = (_waiting(chance, customers, shape, begin + n * step) for n in range(shape.recipients))
    for batch in _batches(mails):
        add(store, batch)


def add(store: Store, mails: Iterable[Mail]) -> None:
    """Write messages with one recipient each."""
    mails = list(mails)
    with store.write() as session:
        session.execute(insert(table(Message)), [_message(mail) for mail in mails])
        session.execute(insert(table(Content)), [_content(mail) for mail in mails])
        session.execute(insert(table(Recipient)), [mail.recipient for mail in mails])


@dataclass(frozen=True)
class Mail:
    """One to be written: the row of its recipient, and whose it is."""

    customer: Customer
    recipient: dict[str, Any]


def waiting(customer: Customer, path: str, accepted_at: float, due_at: float, **columns: Any) -> Mail:
    """One that has been tried, or as ``columns`` say."""
    recipient = {
        "message_id": new_id(int(accepted_at * 1000), os.urandom(10)),
        "account_id": customer.account_id,
        "n": 0,
        "connection_id": 0,
        "forward_path": path,
        "notify": "",
        "orcpt": "",
        "state": DEFERRED,
        "leaves_at": accepted_at,
        "next_attempt_at": due_at,
        "attempts": 1,
        "reply": "451 4.3.0 try again later",
        "block_id": None,
        "charge": "charged",
        "provider": "other",
        **columns,
    }
    return Mail(customer, recipient)


def untried(customer: Customer, path: str) -> Mail:
    """One that was accepted just now, by a worker that had no room for it."""
    now = time.time()
    return waiting(customer, path, now, now, state=QUEUED, attempts=0, reply="", provider="")


def picks(store: Store, number: int, limit: int) -> list[float]:
    """How long so many picks take, with their commits, in ms; what was taken is given back."""
    picking, taken = Picking(), []
    with store.write() as session:
        worker = queue.register(session, "bench", os.getpid(), time.time(), time.time() + HOUR)
    for _ in range(number):
        begun = time.perf_counter()
        with store.write() as session:
            picking(session, [Wish(worker, time.time(), limit, Window(10**9))])
        taken.append((time.perf_counter() - begun) * 1000)
    with store.write() as session:
        queue.forget(session, worker)
    return taken


def _waiting(chance: random.Random, customers: list[Customer], shape: Shape, accepted_at: float) -> Mail:
    now = time.time()
    due_at = now - chance.random() * HOUR if chance.random() < shape.due else now + chance.random() * 3 * HOUR
    customer, number = chance.choice(customers), chance.randrange(10**9)
    if chance.random() < shape.dead:
        return waiting(customer, f"r{number}@{DEAD}", accepted_at, due_at, provider=PROVIDER)
    return waiting(customer, f"r{number}@d{chance.randrange(shape.domains)}.example", accepted_at, due_at)


def _content(mail: Mail) -> dict[str, Any]:
    key = {name: mail.recipient[name] for name in ("message_id", "account_id")}
    return {**key, "n": 0, "data": CONTENT}


def _message(mail: Mail) -> dict[str, Any]:
    row = mail.recipient
    return {
        "id": row["message_id"],
        "account_id": row["account_id"],
        "connection_id": row["connection_id"],
        "accepted_at": row["leaves_at"],
        "domain": mail.customer.domain,
        "reverse_path": "orders@sender.example",
        "body": "7BIT",
        "smtputf8": False,
        "ret": "",
        "envid": "",
        "header_from": "sender.example",
        "subject": "Your order",
        "message_id": "<order@sender.example>",
        "size": len(CONTENT),
        "sha256": bytes(32),
    }


def _batches(mails: Iterator[Mail]) -> Iterator[list[Mail]]:
    while batch := list(itertools.islice(mails, BATCH)):
        yield batch
