"""A clock that the test sets forward, on the real reactor."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor


class Hours:
    """The real reactor with a clock that is so many seconds ``later``."""

    def __init__(self) -> None:
        self.later = 0.0

    def seconds(self) -> float:
        return 1000.0 + self.later

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)
