"""What may happen to quota, by the dice: the store and the naive books take every step, and are compared after each."""

from __future__ import annotations

import random
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from postmeter.config import Block as BlockSettings
from postmeter.config import Demo
from postmeter.store import queue
from postmeter.store.accept import Acceptance, Accepted, Submission
from postmeter.store.engine import Store
from postmeter.store.queue import Leased, QueuedMessage, QueuedRecipient
from postmeter.store.quota import book_block, book_demo, invoice_overdraft, quota_of, set_renewal
from postmeter.store.quota_tables import Block
from postmeter.store.renewal import look_after
from postmeter.store.settle import Settlement, settle
from postmeter.store.tables import BOUNCED, DEFERRED, DELIVERED, EXPIRED, Account
from support.postage import add_account, add_worker, outcome, submission
from support.quota_model import DAY, NaiveAccount, NaiveBlock, adopt
from support.tenants import NOW

GROUP = 25  # messages of a commit
SETTINGS = BlockSettings(min=1, step=1)
ACCOUNTS = (  # number, agreement, threshold, cap of the overdraft
    (1, True, 5_000, 0),
    (2, True, 0, 20_000),
    (3, False, 10_000, 0),
    (4, True, 1, 0),
    (5, False, 2_500, 0),
    (6, True, 100, 0),  # has its demo quota only, until it books on the 40th day
    (7, False, 100, 0),  # never books
)
# What an attempt comes to, whether a mail server was given the recipient, and how often that is so
OUTCOMES = (
    (DELIVERED, True, 80),
    (BOUNCED, True, 6),
    (BOUNCED, False, 5),
    (EXPIRED, False, 2),
    (DEFERRED, True, 4),
    (DEFERRED, False, 3),
)
WEIGHTS = list(accumulate(weight for *_, weight in OUTCOMES))


class Crash(Exception):
    """The worker dies before the commit."""


@dataclass
class Lot:
    """A message under way, or some of its recipients: who pays each, and which are charged already."""

    account: NaiveAccount
    message: QueuedMessage
    recipients: dict[int, QueuedRecipient]


@dataclass
class Simulation:
    """One run: the store, the naive books, and the dice."""

    store: Store
    random: random.Random
    pace: float  # steps per second of simulated time
    now: float = NOW
    accounts: dict[int, NaiveAccount] = field(default_factory=dict)
    blocks: dict[int, NaiveBlock] = field(default_factory=dict)
    held: list[Lot] = field(default_factory=list)
    queued: dict[str, Lot] = field(default_factory=dict)
    done: Tally[str] = field(default_factory=Tally)
    accept_all: Acceptance = field(default_factory=Acceptance)
    worker: int = 0

    def begin(self) -> None:
        self.worker = add_worker(self.store, NOW + 1e9)
        with self.store.write() as session:
            for number, agreement, threshold, cap in ACCOUNTS:
                columns: dict[str, Any] = {"agreement": agreement, "threshold": threshold, "overdraft_cap": cap or None}
                add_account(session, number, paid_since=None, **columns)
                self.accounts[number] = NaiveAccount(number, agreement, threshold, cap)
        for number in self.accounts:
            self.change(lambda session, n=number: book_demo(session, n, Demo(), NOW))
            self.accounts[number].book("demo", 1_000, 30, False, NOW)
            if number < 6:
                self.book(number)

    def change(self, work: Callable[[Session], Any]) -> Any:
        """Make a change, or die before its commit and make it again."""
        if self.random.random() < 0.06:
            self.done["crash"] += 1
            with pytest.raises(Crash), self.store.write() as session:
                work(session)
                raise Crash
        with self.store.write() as session:
            return work(session)

    def lost(self) -> bool:
        """Whether the answer to a commit is lost."""
        lost = self.random.random() < 0.06
        self.done["lost"] += lost
        return lost

    # What happens

    def step(self) -> None:
        self.now += self.random.expovariate(self.pace)
        if self.random.random() < 0.7:
            self.look_after()
        self.accept()
        self.settle()
        self.lease()
        for action, share in ((self.rebook, 0.02), (self.cancel, 0.02), (self.invoice, 0.01)):
            if self.random.random() < share:
                action(self.random.randint(1, 5))
        if self.now > NOW + 40 * DAY and not self.accounts[6].paid:
            self.rebook(6)
        self.compare_blocks()

    def look_after(self) -> None:
        self.change(lambda session: look_after(session, [self.now]))
        if self.lost():
            assert self.change(lambda session: look_after(session, [self.now])) == [0]
        for account in self.accounts.values():
            if account.is_due(self.now):
                account.pass_time(self.now)
                account.announce(self.now)

    def accept(self) -> None:
        sent = [self.message() for _ in range(GROUP)]
        answers = self.change(lambda session: self.accept_all(session, sent))
        if self.lost():
            with self.store.read() as session:
                known = self.accept_all.confirm(session, sent)
            assert known == [answer if isinstance(answer, Accepted) else None for answer in answers]
        touched = [self.accounts[number] for number in sorted({one.account_id for one in sent})]
        for account in touched:
            account.pass_time(self.now)
        self.learn()
        before = {account.number: account.overdraft for account in touched}
        took = [self.take(one, answer) for one, answer in zip(sent, answers, strict=True)]
        for account in touched:
            if any(ok and one.account_id == account.number for one, ok in zip(sent, took, strict=True)):
                account.fall(account.overdraft - before[account.number], self.now)

    def message(self) -> Submission:
        number = self.random.choice((1, 1, 2, 2, 3, 4, 4, 5, 6, 7))
        recipients = self.random.randint(55, 100) if self.accounts[number].paid else self.random.randint(1, 9)
        worker = self.worker if self.random.random() < 0.98 else None
        return submission(recipients, account=number, worker=worker, at=self.now)

    def take(self, one: Submission, answer: Any) -> bool:
        account = self.accounts[one.account_id]
        paid = account.pay(one.recipients)
        if paid is None:
            assert not isinstance(answer, Accepted)
            self.done["refused"] += 1
            return False
        slots = [account.slot(self.now) for _ in paid]
        waits = tuple(slot for slot in slots if slot > self.now)
        assert answer == Accepted(tuple(block and block.id for block in paid), waits)
        message = QueuedMessage(one.id, one.account_id, 7, "d", one.envelope, self.now, one.size)
        paths = one.envelope.recipients
        waiting = {
            n: QueuedRecipient(n, paths[n], 0, block and block.id, "reserved", None, slots[n])
            for n, block in enumerate(paid)
        }
        first = {n: waiting.pop(n) for n in range(answer.at_once)} if one.worker else {}
        if first:
            self.held.append(Lot(account, message, first))
        if waiting:
            self.queued[one.id] = Lot(account, message, waiting)
        return True

    def lease(self) -> None:
        """What was deferred, or waits for its slot, and is due by now."""
        for leased in self.change(lambda session: queue.lease_due(session, self.worker, self.now, 400)):
            lot = self.queued[leased.message.id]
            recipients = {recipient.n: lot.recipients.pop(recipient.n) for recipient in leased.recipients}
            for recipient in leased.recipients:
                known = recipients[recipient.n]
                assert (recipient.attempts, recipient.block_id) == (known.attempts, known.block_id)
                assert (recipient.charge, recipient.leaves_at) == (known.charge, known.leaves_at)
            self.held.append(Lot(lot.account, lot.message, recipients))

    def settle(self) -> None:
        """Attempts end, of messages in any order."""
        self.random.shuffle(self.held)
        cut = max(0, len(self.held) - 40)
        lots, self.held = self.held[cut:], self.held[:cut]
        made = [(lot, settlement) for lot in lots for settlement in self.ended(lot)]
        if not made:
            return
        settlements = [settlement for _, settlement in made]
        assert self.change(lambda session: settle(session, settlements)) == [True] * len(made)
        if self.lost():
            assert self.change(lambda session: settle(session, settlements[:1])) == [False]
        for lot, settlement in made:
            self.moved(lot, settlement)

    def ended(self, lot: Lot) -> Iterator[Settlement]:
        leased, again = Leased(lot.message, ()), self.now + self.random.choice((60, DAY, 3 * DAY))
        thrown = self.random.choices(OUTCOMES, cum_weights=WEIGHTS, k=len(lot.recipients))
        for recipient, (state, sent, _) in zip(lot.recipients.values(), thrown, strict=True):
            yield outcome(leased, recipient, self.worker, state, self.now, transmitted=sent, again=again)

    def moved(self, lot: Lot, settlement: Settlement) -> None:
        recipient, charge = settlement.recipient, settlement.recipient.charge
        block = None if recipient.block_id is None else self.blocks[recipient.block_id]
        if charge == "reserved" and settlement.transmitted:
            lot.account.charge(block)
            charge = "charged"
        elif charge == "reserved" and settlement.final:
            lot.account.release(block)
        self.done[settlement.state] += 1
        if settlement.state == DEFERRED:
            n, attempts = recipient.n, recipient.attempts + 1
            waiting = self.queued.setdefault(lot.message.id, Lot(lot.account, lot.message, {}))
            waiting.recipients[n] = QueuedRecipient(
                n,
                recipient.path,
                attempts,
                recipient.block_id,
                charge,
                None,
                recipient.leaves_at or lot.message.accepted_at,
            )

    def book(self, number: int) -> None:
        size, renews = self.random.choice((25_000, 50_000)), self.random.random() < 0.7
        self.change(lambda session: book_block(session, number, size, SETTINGS, self.now, renews=renews))
        self.accounts[number].book("paid", size, 30, renews, self.now)
        self.lift(self.accounts[number])

    def lift(self, account: NaiveAccount) -> None:
        for lot in self.queued.values():
            if lot.account is account:
                for n, recipient in lot.recipients.items():
                    if recipient.leaves_at is not None and recipient.leaves_at > self.now:
                        lot.recipients[n] = QueuedRecipient(
                            n, recipient.path, 0, recipient.block_id, "reserved", None, self.now
                        )

    rebook = book

    def cancel(self, number: int) -> None:
        renews = self.random.random() < 0.6
        self.change(lambda session: set_renewal(session, number, None, renews, self.now))
        self.accounts[number].set_renewal(renews, self.now)

    def invoice(self, number: int) -> None:
        assert self.change(lambda session: invoice_overdraft(session, number, self.now)) == (
            self.accounts[number].invoice()
        )

    # What must be so

    def learn(self) -> list[Any]:
        with self.store.read() as session:
            found = session.execute(select(*Block.__table__.columns)).all()
        adopt(self.accounts.values(), found)
        self.blocks = {block.id: block for account in self.accounts.values() for block in account.blocks}
        return list(found)

    def compare_blocks(self) -> None:
        """After every step: the balances of all blocks and accounts."""
        for row in self.learn():
            block = self.blocks[row.id]
            assert (row.left, row.reserved, row.charged) == (block.left, block.reserved, block.charged)
            assert (row.due_at is not None, bool(row.renews)) == (block.open, block.renews)
        with self.store.read() as session:
            for account in session.scalars(select(Account)):
                naive = self.accounts[account.id]
                assert (account.overdraft, account.invoiced) == (naive.overdraft, naive.invoiced)
            number = self.random.choice(list(self.accounts))
            if not self.accounts[number].is_due(self.now):
                assert quota_of(session, number, self.now).left == self.accounts[number].left
