"""Web requests of delivery, each in a daemon thread: a slow server holds nobody up, not even at the end."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from postmeter.fetch import Fetched, FetchError, fetch

MOST = 16  # requests at a time; more wait
MOST_BODY = 65_537  # an octet more than what is taken, so that more can be told from enough

Fetch = Callable[..., Fetched]


class WebThreads:
    """Has ``fetch`` called in threads; ``post`` brings a function home to the reactor (``callFromThread``).

    ``clock`` gives seconds that only grow.
    """

    def __init__(
        self,
        post: Callable[[Callable[[], None]], Any],
        fetch: Fetch = fetch,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._post = post
        self._fetch = fetch
        self._clock = clock
        self._free = MOST
        self._waiting: deque[tuple[float, Deferred[Fetched], Callable[[], Fetched]]] = deque()

    def ask(self, method: str, url: str, *, timeout: float, **request: Any) -> Deferred[Fetched]:
        """The answer; fails with FetchError when there is none. ``request`` and ``timeout`` as ``fetch`` has them.

        What has waited for room for all the ``timeout`` is given up: slow servers hold nobody up for longer than that.
        """
        answer: Deferred[Fetched] = Deferred()
        call = partial(self._fetch, method, url, timeout=timeout, max_body=MOST_BODY, **request)
        self._waiting.append((self._clock() + timeout, answer, call))
        self._begin_some()
        return answer

    def _begin_some(self) -> None:
        while self._waiting and self._free:
            latest, answer, call = self._waiting.popleft()
            if self._clock() > latest:
                answer.errback(FetchError("there was no time left to ask: too many other servers are slow"))
            else:
                threading.Thread(target=self._run, args=(answer, call), name="web", daemon=True).start()
                self._free -= 1

    def _run(self, answer: Deferred[Fetched], call: Callable[[], Fetched]) -> None:
        try:
            fetched = call()
        except Exception as error:
            told = partial(answer.errback, error)
        else:
            told = partial(answer.callback, fetched)
        self._post(partial(self._end, told))

    def _end(self, tell: Callable[[], None]) -> None:
        self._free += 1
        tell()
        self._begin_some()
