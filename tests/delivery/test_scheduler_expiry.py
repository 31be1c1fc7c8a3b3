"""A server that says 4xx for ever: the mail expires at the end of its lifetime, and its sender is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

from postmeter.delivery.outcome import EXPIRED_REPLY
from postmeter.delivery.retry import DAY, HOUR, LATER, SCHEDULE, draw
from postmeter.message.envelope import Envelope, Recipient
from postmeter.store import queue
from postmeter.store.engine import Store
from postmeter.store.notifications import Notifier, Settling
from postmeter.store.own_mail import OPERATOR
from postmeter.store.statistics import totals
from postmeter.store.tables import DELIVERED, EXPIRED, Event
from support.postage import accept, add_worker, audit, funded, recipients, rows, submission
from support.scheduling import DONE, Bench, delivery, route
from support.scheduling import LATER as NOT_NOW
from support.tenants import NOW

SENDER = "bounce@shop.example"


def writing(store: Store) -> Callable[[Any, Any, Callable[[Any], None]], None]:
    """A writer that commits each change at once."""

    def submit(change: Any, item: Any, done: Callable[[Any], None]) -> None:
        with store.write() as session:
            [result] = change(session, [item])
        done(result)

    return submit


def refuse_for_ever(bench: Bench) -> list[float]:
    """The times of attempts for the customer's mail; what the relay writes itself is taken."""
    times = []
    while bench.pool.sent:
        _, mail, sent = bench.pool.sent.pop()
        ours = mail.envelope.reverse_path == ""
        times += [] if ours else [bench.clock.seconds()]
        sent.callback(delivery(DONE) if ours else delivery(NOT_NOW, stage="rcpt"))
    bench.gather()
    return times


def letter(store: Store) -> str:
    """What is said to the sender, about to leave."""
    with store.read() as session:
        waiting = [row for row in recipients(store) if row.account_id == OPERATOR and row.final_at is None]
        return queue.content(session, OPERATOR, waiting[0].message_id).decode() if waiting else ""


def test_4xx_for_ever_ends_with_the_lifetime_and_a_notification(store: Store) -> None:
    funded(store)
    worker = add_worker(store, NOW + 10 * DAY)
    envelope = Envelope(SENDER, (Recipient("joe@example.org"),))
    accept(store, replace(submission(), envelope=envelope))
    notifier = Notifier("mail.test", "always", DAY)
    bench = Bench(draw=draw, submit=writing(store), worker=worker, settling=Settling(notifier))
    bench.router.known = {"example.org": route("mx"), "shop.example": route("shop")}
    bench.clock.advance(NOW)
    bench.scheduler.start()
    times: list[float] = []
    told = ""
    while waiting := [row.next_attempt_at for row in recipients(store) if row.final_at is None]:
        bench.clock.advance(max(1.0, min(waiting) - bench.clock.seconds() + 1))
        times += refuse_for_ever(bench)
        told = told or letter(store)
    bench.scheduler.stop()

    waits = [later - earlier for earlier, later in pairwise(times)]
    usual = [*SCHEDULE, *[LATER] * len(times)]
    assert all(0.9 * wait - 1 <= waited <= 1.1 * wait + 3 for waited, wait in zip(waits[:-1], usual, strict=False))
    assert DAY <= times[-1] - NOW <= DAY + 3
    assert 10 <= len(times) <= 14
    of_customer, of_relay = sorted(recipients(store), key=lambda row: row.account_id == OPERATOR)
    assert (of_customer.state, of_customer.attempts, of_customer.charge) == (EXPIRED, len(times), "charged")
    assert of_customer.reply == f"{EXPIRED_REPLY}{NOT_NOW}"
    assert of_customer.final_at <= NOW + DAY + HOUR
    assert (of_relay.state, of_relay.forward_path, of_relay.charge) == (DELIVERED, SENDER, "free")
    assert "Action: failed\r\nStatus: 5.4.7\r\n" in told
    kinds = [event.kind for event in rows(store, Event) if event.account_id == 1]
    assert kinds.count("deferred") == len(times) - 1
    assert (kinds.count("expired"), kinds.count("notification_sent"), kinds.count("bounced")) == (1, 1, 0)
    with store.read() as session:
        counted = totals(session, 1)
    assert (counted.arrived, counted.bounced, counted.deferred) == (1, 1, 0)
    audit(store)
