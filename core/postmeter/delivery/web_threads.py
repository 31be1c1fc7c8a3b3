"""Web requests of delivery, each in a daemon thread: a slow server holds nobody up, not even at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore

from postmeter.fetch import Fetched, fetch

MOST = 16  # requests at a time; more wait
MOST_BODY = 65_537  # an octet more than what is taken, so that more can be told from enough

Fetch = Callable[..., Fetched]


class WebThreads:
    """Has ``fetch`` called in threads; ``post`` brings a function home to the reactor (``callFromThread``)."""

    def __init__(self, post: Callable[[Callable[[], None]], Any], fetch: Fetch = fetch) -> None:
        self._post = post
        self._fetch = fetch
        self._room = DeferredSemaphore(MOST)

    def ask(self, method: str, url: str, *, timeout: float, **request: Any) -> Deferred[Fetched]:
        """The answer; fails with FetchError when there is none. ``request`` and ``timeout`` as ``fetch`` has them."""
        return self._room.run(self._in_thread, method, url, timeout=timeout, max_body=MOST_BODY, **request)

    def _in_thread(self, method: str, url: str, **request: Any) -> Deferred[Fetched]:
        answer: Deferred[Fetched] = Deferred()

        def run() -> None:
            try:
                fetched = self._fetch(method, url, **request)
            except Exception as error:
                failed = error
                self._post(lambda: answer.errback(failed))
            else:
                self._post(lambda: answer.callback(fetched))

        threading.Thread(target=run, name="web", daemon=True).start()
        return answer
