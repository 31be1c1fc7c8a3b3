"""Endpoints in the database: who is to be called about what, and whether they still are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.orm import Session

from postmeter import Core, UsageError
from postmeter_webhooks import tables
from postmeter_webhooks.body import CHOSEN, is_of_connection
from postmeter_webhooks.schedule import FAILED, is_lost
from postmeter_webhooks.signing import new_secret, secret_text

OVERLAP = 86_400.0  # seconds for which a secret that was renewed still signs
MAX_URL = 2000  # characters
BY_HAND = "switched off by hand"
_table = tables.endpoint


@dataclass(frozen=True)
class Endpoint:
    """Whom to call. ``types`` empty: about all there is; ``off`` empty: it is called; times since the epoch."""

    id: int
    account_id: int
    connection_id: int | None
    url: str
    types: tuple[str, ...]
    off: str
    off_at: float | None
    alive_at: float
    created_at: float
    sealed: tuple[bytes, ...] = field(repr=False)  # the secret, then the one before it while that is valid
    failing_since: float | None = None
    old_until: float | None = None  # how long the secret before signs as well

    def wants(self, type: str, connection_id: int | None) -> bool:
        """Whether it is to be told an event of that type, which is about a connection or not."""
        if self.connection_id is not None and not (is_of_connection(type) and connection_id == self.connection_id):
            return False
        return not self.types or type in self.types


@dataclass(frozen=True)
class Added:
    """A new endpoint, or a new secret of one: the secret is shown once."""

    endpoint: int
    secret: str = field(repr=False)


def add(
    session: Session,
    core: Core,
    account_id: int,
    connection_id: int | None,
    url: str,
    types: Sequence[str],
    most: int,
) -> Added:
    """Add an endpoint; UsageError when it cannot be one or the account has ``most`` already."""
    if len(url) > MAX_URL:
        raise UsageError(f"the URL is longer than {MAX_URL} characters")
    for type in types:
        if type not in CHOSEN:
            raise UsageError(f"{type!r} is no type of event; there are: {', '.join(CHOSEN)}")
        if connection_id is not None and not is_of_connection(type):
            raise UsageError(f"{type} is about the whole account; leave --connection out")
    if len(every(session, core, account_id)) >= most:
        raise UsageError(f"the account has {most} endpoints already; remove one first")
    secret, now = new_secret(), core.clock()
    values = {
        "account_id": account_id,
        "connection_id": connection_id,
        "url": url,
        "types": list(dict.fromkeys(types)),
        "secret": core.seal(secret),
        "off": "",
        "failures": 0,
        "alive_at": now,
        "created_at": now,
    }
    number = session.scalar(insert(_table).values(**values).returning(_table.c.id))
    return Added(int(number or 0), secret_text(secret))


def find(session: Session, core: Core, number: int) -> Endpoint:
    """The endpoint of that number; UsageError when there is none."""
    row = session.execute(select(_table).where(_table.c.id == number)).one_or_none()
    if row is None:
        raise UsageError(f"there is no endpoint {number}")
    return _endpoint(core, row)


def of_account(session: Session, core: Core, account_id: int, number: int, *, lock: bool = False) -> Endpoint | None:
    """The account's endpoint of that number; ``lock``: nobody else changes it until the transaction ends."""
    query = select(_table).where(_table.c.id == number, _table.c.account_id == account_id)
    row = session.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else _endpoint(core, row)


def every(session: Session, core: Core, account_id: int | None = None) -> list[Endpoint]:
    """The endpoints of an account (None: of all), by number."""
    query = select(_table).order_by(_table.c.id)
    if account_id is not None:
        query = query.where(_table.c.account_id == account_id)
    return [_endpoint(core, row) for row in session.execute(query)]


def called(session: Session, core: Core, account_ids: Collection[int]) -> list[Endpoint]:
    """The endpoints of these accounts that are called, by number."""
    query = select(_table).where(_table.c.account_id.in_(account_ids), _table.c.off == "").order_by(_table.c.id)
    return [_endpoint(core, row) for row in session.execute(query)]


def remove(session: Session, number: int) -> None:
    """Forget an endpoint and all that was or is to be sent to it."""
    session.execute(delete(_table).where(_table.c.id == number))
    session.execute(delete(tables.delivery).where(tables.delivery.c.endpoint_id == number))


def rotate(session: Session, core: Core, number: int) -> Added:
    """Give an endpoint a new secret; the one before signs for another day."""
    secret = new_secret()
    values = {"old_secret": _table.c.secret, "secret": core.seal(secret), "old_until": core.clock() + OVERLAP}
    session.execute(update(_table).where(_table.c.id == number).values(**values))
    return Added(number, secret_text(secret))


def switch_on(session: Session, number: int, now: float) -> None:
    """Call an endpoint again, as if it had never failed."""
    session.execute(update(_table).where(_table.c.id == number).values(off="", off_at=None))
    is_alive(session, number, now)


def switch_off(session: Session, number: int, reason: str, now: float) -> bool:
    """Call an endpoint no more: what waits for it has failed. Whether it was on."""
    switch = update(_table).where(_table.c.id == number, _table.c.off == "").values(off=reason, off_at=now)
    if not session.connection().execute(switch).rowcount:
        return False
    waiting = tables.delivery.c.done_at.is_(None)
    session.execute(
        update(tables.delivery)
        .where(tables.delivery.c.endpoint_id == number, waiting)
        .values(state=FAILED, done_at=now, answer=f"not sent: {reason}")
    )
    return True


def is_alive(session: Session, number: int, now: float) -> None:
    """Note that an endpoint has taken something."""
    values = {"alive_at": now, "failures": 0, "failing_since": None}
    session.execute(update(_table).where(_table.c.id == number).values(**values))


def has_failed(session: Session, number: int, times: int, since: float, now: float) -> bool:
    """Note that an endpoint has failed so often in a row since then; whether it has now failed for good."""
    values = {
        "failures": _table.c.failures + times,
        "failing_since": func.coalesce(_table.c.failing_since, since),
    }
    noted = update(_table).where(_table.c.id == number).values(**values)
    row = session.execute(noted.returning(_table.c.failures, _table.c.failing_since)).one_or_none()
    return row is not None and is_lost(row.failures, now - row.failing_since)


def _endpoint(core: Core, row: Row[tuple[object, ...]]) -> Endpoint:
    sealed = [row.secret]
    if row.old_secret is not None and row.old_until > core.clock():
        sealed.append(row.old_secret)
    return Endpoint(
        id=row.id,
        account_id=row.account_id,
        connection_id=row.connection_id,
        url=row.url,
        types=tuple(row.types),
        off=row.off,
        off_at=row.off_at,
        alive_at=row.alive_at,
        created_at=row.created_at,
        sealed=tuple(sealed),
        failing_since=row.failing_since,
        old_until=row.old_until if len(sealed) > 1 else None,
    )
