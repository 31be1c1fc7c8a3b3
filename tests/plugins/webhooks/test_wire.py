"""Over real sockets, to receivers that verify what comes with the reference implementation."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread

from postmeter.store.engine import Store
from postmeter_webhooks import endpoints
from postmeter_webhooks.sending import Sender
from postmeter_webhooks.settings import WebhookSettings
from postmeter_webhooks.signing import secret_text
from support.webhook_receiver import Receiver
from support.webhooks import Bench

NewReceiver = Callable[[], Receiver]


@pytest_twisted.async_yield_fixture
async def receiver() -> AsyncIterator[NewReceiver]:
    """Makes receivers."""
    made: list[Receiver] = []

    def new() -> Receiver:
        made.append(Receiver(reactor))
        return made[-1]

    yield new
    for one in made:
        await one.stop()


@pytest.fixture
def bench(store: Store) -> Bench:
    """The plugin as it is, with a clock that goes by itself."""
    made = Bench(store, WebhookSettings(allow_private=True, timeout=2))
    made.core = replace(made.core, clock=time.time)
    made.now = time.time()
    made.start()
    made.sender = Sender(made.core, start=lambda work: work())
    return made


def add(bench: Bench, receiver: Receiver) -> int:
    """An endpoint at that receiver, which knows its secret."""
    number = bench.add(receiver.url)
    receiver.secret = secret_text(bench.secrets(number)[0])
    bench.sender = Sender(bench.core, start=lambda work: work())
    return number


def send(bench: Bench) -> Any:
    return deferToThread(lambda: bench.sender.dispatch(time.time()))


@pytest_twisted.ensureDeferred
async def test_a_receiver_verifies_and_takes_it(bench: Bench, receiver: NewReceiver) -> None:
    here = receiver()
    number = add(bench, here)
    bench.tell(bench.event(1, "accepted", size=2048), bench.event(2, reply="250 2.0.0 Ok"))
    await send(bench)
    assert [(key, body["type"]) for key, body in here.taken] == [
        (f"msg_1_{number}", "message.accepted"),
        (f"msg_2_{number}", "message.delivered"),
    ]
    assert here.taken[1][1]["data"]["status"] == "2.0.0"
    assert [(one.state, one.status) for one in bench.facts(number)] == [("delivered", 204)] * 2


@pytest_twisted.ensureDeferred
async def test_with_the_old_secret_and_with_the_new_one_it_is_verified(bench: Bench, receiver: NewReceiver) -> None:
    here = receiver()
    number = add(bench, here)
    with bench.core.write() as session:
        new = endpoints.rotate(session, bench.core, number).secret
    bench.tell(bench.event(1))
    await send(bench)
    here.secret = new
    bench.tell(bench.event(2))
    await send(bench)
    assert [key for key, _ in here.taken] == [f"msg_1_{number}", f"msg_2_{number}"]


@pytest_twisted.ensureDeferred
async def test_who_does_not_know_the_secret_refuses_and_is_called_again(bench: Bench, receiver: NewReceiver) -> None:
    here = receiver()
    number = add(bench, here)
    here.secret = "whsec_" + "QUJD" * 8
    bench.tell(bench.event(1))
    await send(bench)
    (kept,) = bench.facts(number)
    assert (kept.state, kept.answer) == ("waiting", "401 I do not know you")


@pytest_twisted.ensureDeferred
async def test_one_that_never_answers_delays_no_other(bench: Bench, receiver: NewReceiver) -> None:
    silent, quick = receiver(), receiver()
    slow, good = add(bench, silent), add(bench, quick)
    silent.silent = True
    bench.tell(bench.event(1))
    done: list[Any] = []
    sender = Sender(bench.core, start=lambda work: done.append(deferToThread(work)))
    began = time.monotonic()
    await deferToThread(sender.dispatch, time.time())
    await done[1]
    assert time.monotonic() - began < 1.5
    assert [one.state for one in bench.facts(good)] == ["delivered"]
    await gatherResults(done)
    (kept,) = bench.facts(slow)
    assert (kept.state, kept.answer) == ("waiting", "127.0.0.1 did not answer within 2 seconds")


@pytest_twisted.ensureDeferred
async def test_without_leave_nothing_is_sent_to_an_address_inside(store: Store, receiver: NewReceiver) -> None:
    bench, here = Bench(store), receiver()
    number = add(bench, here)
    bench.tell(bench.event(1))
    await deferToThread(lambda: bench.sender.dispatch(bench.now))
    assert here.taken == []
    assert bench.facts(number)[0].answer == "127.0.0.1 would be asked in clear text; only https is allowed"
