"""Threads that work by the batch, where who is busy finds all that came in meanwhile; and one for a single answer."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def within(limit: float, name: str, function: Callable[[], Answer]) -> Answer:
    """What it gives, or raises, in a daemon thread of its own; TimeoutError when it has not after so many seconds."""
    future: Future[Answer] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    thread.join(limit)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {limit:g} s")
    return future.result()


class BatchThread(Generic[Item]):
    """One daemon thread that calls ``work`` with all items that wait, at most ``limit`` at a time, in order.

    ``pause`` is asked, when an item has come, for how many seconds to wait for more before the work begins.
    ``work`` answers for each item's outcome itself and does not raise; if it does, that batch is lost and logged.
    """

    def __init__(
        self, name: str, work: Callable[[list[Item]], None], limit: int = 64, pause: Callable[[], float] = float
    ) -> None:
        self._waiting: SimpleQueue[Item | None] = SimpleQueue()
        self._work = work
        self._limit = limit
        self._pause = pause
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def put(self, item: Item) -> None:
        """Hand over an item; returns at once."""
        self._waiting.put(item)

    def stop(self) -> None:
        """Work on what has been handed over, then end; waits for that."""
        self._waiting.put(None)
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            batch = [item]
            if pause := self._pause():
                time.sleep(pause)
            stopping = False
            try:
                while len(batch) < self._limit:
                    following = self._waiting.get_nowait()
                    if following is None:
                        stopping = True
                        break
                    batch.append(following)
            except Empty:
                pass
            try:
                self._work(batch)
            except Exception as error:
                log.critical("the thread %s met a defect and goes on", self._thread.name, exc_info=error)
            if stopping:
                return
