"""A change that is handed to the writer, and what has become of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from postmeter.store.writer import Change

Submit = Callable[[Change[Any, Any], Any, Callable[[Any], None]], None]


async def commit(submit: Submit, change: Change[Any, Any], item: Any) -> Any:
    """What the change made of the item, once it is committed; raises what kept it from that."""
    committed: Deferred[Any] = Deferred()
    submit(change, item, committed.callback)
    result = await committed
    if isinstance(result, Exception):
        raise result
    return result
