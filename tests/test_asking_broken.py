"""Plugins that fail or hang are given up for a while, and neither other plugins nor other mail wait for them."""

from __future__ import annotations

import itertools
import logging
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from unittest.mock import MagicMock

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.task import deferLater

from postmeter.asking import TEMPORARY, THREADS, Added, Asking, Desk, News
from postmeter.breaker import FAILURES, PAUSE
from postmeter.config import Settings
from postmeter.hooks import Plugins, new_manager
from postmeter.hookspecs import Message, hookimpl
from postmeter.message.envelope import Recipient
from postmeter.plugin_settings import PluginSettings
from postmeter.smtp.reply import Refused, Reply
from postmeter.store.accept import Acceptance
from postmeter.store.engine import Store
from support.accepting import Bench, storing
from support.postage import funded
from support.reception import ACCESS

reactor: Any = _reactor
MESSAGE = Message("1", 1, 1, "a@shop.example", (Recipient("b@example.net"),), b"Subject: x\r\n\r\n", 14)
Answer = Callable[[Message], Any]


class Plugin:
    """Answers on_accept as told, and counts."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked = 0

    @hookimpl
    def on_accept(self, message: Message) -> Any:
        self.asked += 1
        return self.answer(message)


class Ahead:
    """The reactor, with a clock that can be put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def seconds(self) -> float:
        return cast(float, reactor.seconds()) + self.ahead

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


class Desks:
    """Makes plugins that are asked, with the clock that they see and the news of them."""

    def __init__(self) -> None:
        self.clock = Ahead()
        self.news: list[News] = []
        self.go_on = threading.Event()
        self.made: list[Asking] = []

    def asking(self, *plugins: Plugin, policy: str = "open", limit: float = 5.0) -> Asking:
        """Plugins p0, p1, …, the first one asked first."""
        manager = new_manager()
        own = PluginSettings(policy=policy, time_limit=cast(int, limit))
        for number, plugin in reversed(list(enumerate(plugins))):
            manager.register(plugin, f"p{number}")
        settings = {f"p{number}": own for number in range(len(plugins))}
        made = Asking(Plugins(manager, own=settings), self.clock, self.news.append)
        made.start()
        self.made.append(made)
        return made

    def hang(self, message: Message) -> None:
        """An answer that comes when the test is over."""
        self.go_on.wait(60)


@pytest.fixture
def desks() -> Iterator[Desks]:
    made = Desks()
    yield made
    made.go_on.set()
    for asking in made.made:
        asking.stop()


def raising(message: Message) -> Any:
    raise ValueError("broken")


def rubbish(message: Message) -> Any:
    return itertools.count()


def leaving(message: Message) -> Any:
    sys.exit(1)


async def ask(asking: Asking, times: int = 1) -> Added:
    for _ in range(times - 1):
        await asking.ask("on_accept", MESSAGE)
    return await asking.ask("on_accept", MESSAGE)


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await deferLater(reactor, 0.005, lambda: None)


@pytest_twisted.ensureDeferred
async def test_after_failures_in_a_row_a_plugin_is_not_asked(desks: Desks, caplog: pytest.LogCaptureFixture) -> None:
    asking = desks.asking(broken := Plugin(raising), Plugin(lambda m: [("X-A", "1")]))
    assert await ask(asking, 20) == Added(b"X-A: 1\r\n")
    assert broken.asked == FAILURES
    assert desks.news == [News("p0", "on_accept", "ValueError: broken")]
    [line] = [r.getMessage() for r in caplog.records if "not asked" in r.getMessage()]
    assert line == "plugin p0 is not asked on_accept for now, it fails: ValueError: broken"


@pytest_twisted.ensureDeferred
async def test_a_start_that_fails_is_a_failure_of_the_hook(desks: Desks) -> None:
    class Late(Plugin):
        starts = 0

        @hookimpl
        def on_start(self, core: Any) -> None:
            self.starts += 1
            raise OSError("not yet")

    manager = new_manager()
    manager.register(late := Late(lambda m: None), "late")
    plugins = Plugins(manager, own={"late": PluginSettings(policy="open")})
    plugins.attach(Settings(), MagicMock(spec=Store), cast(Any, None))
    asking = Asking(plugins, desks.clock, desks.news.append)
    asking.start()
    desks.made.append(asking)
    assert await ask(asking, 10) == Added()
    assert (late.starts, late.asked) == (FAILURES, 0)
    assert desks.news == [News("late", "on_accept", "OSError: not yet")]


@pytest_twisted.ensureDeferred
async def test_with_the_policy_tempfail_its_messages_are_451_at_once(desks: Desks) -> None:
    asking = desks.asking(broken := Plugin(raising), policy="tempfail")
    for _ in range(20):
        with pytest.raises(Refused) as refused:
            await ask(asking)
        assert refused.value.reply == TEMPORARY
    assert broken.asked == FAILURES


@pytest_twisted.ensureDeferred
async def test_a_refusal_is_an_answer(desks: Desks) -> None:
    def refuse(message: Message) -> None:
        raise Refused(Reply(550, "5.7.1", "Never"))

    asking = desks.asking(refusing := Plugin(refuse), policy="tempfail")
    for _ in range(20):
        with pytest.raises(Refused, match="Never"):
            await ask(asking)
    assert refusing.asked == 20
    assert desks.news == []


@pytest_twisted.ensureDeferred
async def test_it_is_tried_after_a_pause_with_a_message_that_does_not_wait(
    desks: Desks, caplog: pytest.LogCaptureFixture
) -> None:
    asking = desks.asking(plugin := Plugin(raising))
    await ask(asking, FAILURES)
    plugin.answer = lambda m: [("X-A", "1")]
    await ask(asking, 5)
    assert plugin.asked == FAILURES
    desks.clock.ahead += PAUSE
    assert await ask(asking) == Added()
    await until(lambda: len(desks.news) == 2)
    assert plugin.asked == FAILURES + 1
    assert desks.news[1] == News("p0", "on_accept", "")
    assert await ask(asking) == Added(b"X-A: 1\r\n")
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        "plugin p0 is asked on_accept again"
    ]


@pytest_twisted.ensureDeferred
async def test_a_probe_that_hangs_is_waited_for_by_nobody(desks: Desks) -> None:
    asking = desks.asking(plugin := Plugin(raising), limit=0.2)
    await ask(asking, FAILURES)
    plugin.answer = desks.hang
    desks.clock.ahead += PAUSE
    before = time.monotonic()
    await ask(asking, 100)
    assert time.monotonic() - before < 0.2
    assert plugin.asked <= FAILURES + 1
    await until(lambda: plugin.asked == FAILURES + 1)
    await deferLater(reactor, 0.3, lambda: None)  # the probe's time is over
    assert len(desks.news) == 1


@pytest_twisted.ensureDeferred
async def test_a_plugin_that_hangs_is_waited_for_until_its_time_limit(desks: Desks) -> None:
    asking = desks.asking(plugin := Plugin(desks.hang), limit=0.05)
    before = time.monotonic()
    assert await ask(asking, 20) == Added()
    assert time.monotonic() - before < 5
    assert plugin.asked == FAILURES
    assert desks.news == [News("p0", "on_accept", "no answer in time")]


@pytest_twisted.ensureDeferred
async def test_a_plugin_that_hangs_takes_no_thread_of_another(desks: Desks) -> None:
    healthy = Plugin(lambda m: [("X-A", "1")])
    asking = desks.asking(Plugin(desks.hang), healthy, limit=0.05)
    added = await gatherResults([Deferred.fromCoroutine(ask(asking)) for _ in range(2 * THREADS)])
    assert added == [Added(b"X-A: 1\r\n")] * 2 * THREADS


@pytest_twisted.ensureDeferred
async def test_while_all_threads_hang_nobody_waits_for_the_time_limit(desks: Desks) -> None:
    desk = Desk("plugin", reactor)
    desk.threads.start()
    calls: list[int] = []

    def hang() -> None:
        calls.append(1)
        desks.go_on.wait(60)

    waiting = [desk.call(hang, 0.05) for _ in range(THREADS + 4)]
    for one in waiting:
        with pytest.raises(DeferredTimeout):
            await one
    with pytest.raises(DeferredTimeout):
        await desk.call(hang, 1000.0)
    desks.go_on.set()
    await until(lambda: not desk._answering)
    assert await desk.call(lambda: 7, 1000.0) == 7
    desk.threads.stop()
    assert len(calls) == THREADS  # whom nobody waited for any more was not asked


@pytest_twisted.ensureDeferred
async def test_the_end_does_not_wait_for_a_plugin_that_hangs(desks: Desks) -> None:
    asking = desks.asking(Plugin(desks.hang), limit=0.01)
    await ask(asking)
    desks.made.clear()
    begin = time.monotonic()
    asking.stop()
    assert time.monotonic() - begin < 5
    threads = asking._desks["p0"].threads.threads
    assert all(thread.daemon for thread in threads)
    desks.go_on.set()
    for thread in threads:
        thread.join(20)


class Latency:
    """How long mail takes to be accepted, into a store of its own."""

    def __init__(self, store: Store, folder: Path) -> None:
        funded(store, 10_000, account=ACCESS.account_id)
        self._outcome = storing(store, Acceptance())
        self._folder = folder
        self._numbers = itertools.count()

    async def ratio(self, asking: Asking, other: Asking) -> float:
        """The least of up to five ratios between one's median and the other's: under 1.05, or it is no accident."""
        ratios = [await self._ratio(asking, other)]
        while min(ratios) >= 1.05 and len(ratios) < 5:
            ratios.append(await self._ratio(asking, other))
        return min(ratios)

    async def _ratio(self, asking: Asking, other: Asking) -> float:
        """Of accepts that took turns, so that what else the machine does meets both alike."""
        times = [(await self._accept(asking), await self._accept(other)) for _ in range(200)]
        return statistics.median(t for t, _ in times) / statistics.median(t for _, t in times)

    async def _accept(self, asking: Asking) -> float:
        bench = Bench(self._folder, asking=asking, outcome=self._outcome)
        bench.identifier = f"{next(self._numbers):026d}"
        begin = time.perf_counter()
        reply = await bench.accept(b"From: orders@shop.example\r\n\r\nHello\r\n")
        assert reply.code == 250
        return time.perf_counter() - begin


@pytest.fixture
def latency(sqlite_url: str, tmp_path: Path) -> Iterator[Latency]:
    store = Store.open(sqlite_url)
    yield Latency(store, tmp_path)
    store.close()


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("kind", ["raises", "hangs", "returns rubbish", "exits"])
async def test_a_broken_plugin_changes_the_latency_of_mail_by_less_than_5_percent(
    desks: Desks, kind: str, latency: Latency
) -> None:
    answers = {"raises": raising, "hangs": desks.hang, "returns rubbish": rubbish, "exits": leaving}
    healthy = Plugin(lambda m: [("X-A", "1")])
    alone, beside = desks.asking(healthy), desks.asking(broken := Plugin(answers[kind]), healthy, limit=0.1)
    await ask(beside, FAILURES)
    assert await latency.ratio(beside, alone) < 1.05
    assert broken.asked == FAILURES


@pytest_twisted.ensureDeferred
async def test_a_plugin_that_is_still_waited_for_changes_that_of_mail_it_is_not_asked_about_as_little(
    desks: Desks, latency: Latency
) -> None:
    class Choosing(Plugin):
        @hookimpl
        def by_connection(self) -> bool:
            return True

    healthy = Plugin(lambda m: [("X-A", "1")])
    alone, beside = desks.asking(healthy), desks.asking(hanging := Choosing(desks.hang), healthy, limit=60.0)
    waiting = [Deferred.fromCoroutine(ask(beside)) for _ in range(2 * THREADS)]  # about connections that it follows
    await until(lambda: hanging.asked == THREADS)
    assert await latency.ratio(beside, alone) < 1.05
    assert (hanging.asked, desks.news) == (THREADS, [])
    desks.go_on.set()
    assert await gatherResults(waiting) == [Added(b"X-A: 1\r\n")] * 2 * THREADS
