"""The hourly limit of accounts that never had a paid block: slots in which their recipients leave, kept in one row."""

from __future__ import annotations

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from postmeter import config
from postmeter.quota.throttle import slots
from postmeter.smtp.replies import hourly_limit_reached, over_hourly_limit
from postmeter.smtp.reply import Reply
from postmeter.store.base import table
from postmeter.store.quota_tables import Throttle
from postmeter.store.tables import HELD, QUEUED, Message, Recipient


class Lane:
    """The way out of one account under the limit, in one commit that holds the account's lock."""

    def __init__(self, session: Session, account_id: int, demo: config.Demo, now: float) -> None:
        self._session = session
        self._account_id = account_id
        self._demo = demo
        self._now = now
        found = session.execute(select(Throttle.slots).where(Throttle.account_id == account_id)).scalar_one_or_none()
        self._new = found is None
        self._slots: list[float] = found or []

    def refusal(self, recipients: int) -> Reply | None:
        """Why a message cannot be taken, where the surplus is not to wait."""
        if self._demo.on_excess != "refuse":
            return None
        if recipients > self._demo.per_hour:
            return over_hourly_limit(self._demo.per_hour)
        return hourly_limit_reached(self._demo.per_hour) if self._next(recipients)[-1] > self._now else None

    def take(self, recipients: int) -> tuple[float, ...]:
        """Slots for the recipients of a message; those of the last ones, which have to wait."""
        given = self._next(recipients)
        self._slots = sorted([*self._slots, *given])[-self._demo.per_hour :]
        return tuple(slot for slot in given if slot > self._now)

    def save(self) -> None:
        """Keep the slots that were taken."""
        values = {"slots": self._slots}
        statement = (
            insert(table(Throttle)).values(account_id=self._account_id, **values)
            if self._new
            else update(table(Throttle)).where(Throttle.account_id == self._account_id).values(**values)
        )
        self._session.connection().execute(statement)

    def _next(self, recipients: int) -> list[float]:
        return slots(self._slots, recipients, self._demo.per_hour, self._now)


def lift(session: Session, account_id: int, now: float) -> None:
    """The limit is no more: what only waits for its slot may leave now."""
    of_account = select(Message.id).where(Message.account_id == account_id)
    waiting = (Recipient.account_id == account_id, Recipient.message_id.in_(of_account))
    session.connection().execute(
        update(table(Recipient))
        .where(*waiting, Recipient.state.in_([QUEUED, HELD]), Recipient.leaves_at > now)
        .values(leaves_at=now, next_attempt_at=now)
    )
    session.connection().execute(delete(table(Throttle)).where(Throttle.account_id == account_id))
