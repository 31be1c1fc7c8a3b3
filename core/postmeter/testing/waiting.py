"""Waiting for what other processes do: polled, and for a limited time."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from typing import Any


def wait_until(
    predicate: Callable[[], Any],
    seconds: float,
    what: str | Callable[[], str] = "the condition",
    every: float = 0.02,
) -> Any:
    """The predicate's first true value; AssertionError when there is none within so many seconds.

    ``every``: seconds between two looks.
    """
    deadline = time.monotonic() + seconds
    while not (value := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds:g} s still not: {what() if callable(what) else what}")
        time.sleep(every)
    return value


_given: set[int] = set()  # ports are bound long after they were chosen, and looked free to the next who asked


def free_port() -> int:
    """A port that nobody listens on, below those the system gives to clients; never the same twice."""
    for port in random.sample(sorted(set(range(20_000, 32_000)) - _given), 200):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise RuntimeError("no free port")
