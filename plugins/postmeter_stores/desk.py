"""What people do with a shop, by command or page: connect it, try it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.orm import Session

from postmeter import ConnectionFacts, Core, fetch
from postmeter_stores import queue
from postmeter_stores.api import STRANGE
from postmeter_stores.kinds import KINDS
from postmeter_stores.settings import Settings
from postmeter_stores.tables import ShopRow
from postmeter_stores.web import Absent, ShopError, Unusable
from postmeter_stores.writer import open_shop


def own(core: Core) -> Settings:
    """The plugin's settings as the relay read them."""
    assert isinstance(core.own, Settings)
    return core.own


def seal(core: Core, kind: str, given: Mapping[str, str]) -> bytes:
    """The credentials as they are stored; UsageError names what is missing or not of this kind."""
    return core.seal(json.dumps(KINDS[kind].complete(given)).encode())


def connect(
    session: Session, core: Core, connection: ConnectionFacts, kind: str, base: str, sealed: bytes, **wishes: Any
) -> None:
    """Connect the shop that sends by a connection, or connect it anew; ``wishes``: its pattern, and deliveries."""
    row = session.get(ShopRow, connection.id)
    row = row or ShopRow(connection_id=connection.id, account_id=connection.account_id, created_at=core.clock())
    row.kind, row.url, row.credentials = kind, base, sealed
    row.pattern, row.deliveries = wishes["pattern"], wishes["deliveries"]
    session.add(row)
    session.flush()
    queue.resume(session, connection.id, core.clock())
    core.follow(session, connection.id)


def trouble(core: Core, row: ShopRow, fetch: Callable[..., Any] = fetch) -> str:
    """Log in to a shop: what is wrong in plain words, and where it can be mended; empty when nothing is. Blocks."""
    kind = KINDS[row.kind]
    try:
        open_shop(core, own(core), row, fetch).check()
    except ShopError as error:
        mend = isinstance(error, Unusable) and not isinstance(error, Absent)
        return f"{kind.title} at {row.url}: {error}" + (f". What is needed: {kind.where}" if mend else "")
    except STRANGE as error:
        return f"{row.url} answers, but not as {kind.title} does: {error!r}"
    return ""
