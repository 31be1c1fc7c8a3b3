"""Web requests wait in threads, some at a time, and come home to the reactor."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import DeferredList, gatherResults
from twisted.internet.task import Clock

from postmeter.delivery.web_threads import MOST, WebThreads
from postmeter.fetch import Fetched, FetchError

HOME: Any = reactor


@pytest_twisted.ensureDeferred
async def test_an_answer_and_an_error_come_home() -> None:
    def fetch(method: str, url: str, **given: Any) -> Fetched:
        assert threading.current_thread() is not threading.main_thread()
        if url == "https://bad.test/":
            raise FetchError("nobody there")
        return Fetched(200, {"method": method}, str(given["timeout"]).encode())

    web = WebThreads(HOME.callFromThread, fetch)
    answer = await web.ask("GET", "https://good.test/", timeout=2.0)
    assert (answer.headers, answer.body) == ({"method": "GET"}, b"2.0")
    with pytest.raises(FetchError, match="nobody there"):
        await web.ask("GET", "https://bad.test/", timeout=2.0)


@pytest_twisted.ensureDeferred
async def test_only_so_many_requests_are_under_way() -> None:
    lock, under_way, most = threading.Lock(), 0, 0
    full = threading.Event()

    def fetch(method: str, url: str, **given: Any) -> Fetched:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        if most == MOST:
            full.set()
        full.wait(5)
        with lock:
            under_way -= 1
        return Fetched(200, {}, b"")

    web = WebThreads(HOME.callFromThread, fetch)
    await gatherResults([web.ask("GET", "https://good.test/", timeout=1.0) for _ in range(3 * MOST)])
    assert most == MOST


@pytest_twisted.ensureDeferred
async def test_slow_servers_take_no_more_than_their_time_from_those_who_wait_for_room() -> None:
    clock, begun, over = Clock(), threading.Semaphore(0), threading.Event()

    def fetch(method: str, url: str, **given: Any) -> Fetched:
        begun.release()
        over.wait(5)
        return Fetched(200, {}, b"")

    web = WebThreads(HOME.callFromThread, fetch, clock.seconds)
    slow = [web.ask("GET", f"https://{number}.slow.test/", timeout=20.0) for number in range(500 * MOST)]
    clock.advance(15.0)
    last = web.ask("GET", "https://good.test/", timeout=20.0)
    clock.advance(6.0)
    over.set()
    assert (await last).status == 200
    ends = await DeferredList(slow, consumeErrors=True)
    assert [good for good, _ in ends] == [number < MOST for number in range(500 * MOST)]
    assert sum(begun.acquire(blocking=False) for _ in range(500 * MOST)) == MOST + 1
