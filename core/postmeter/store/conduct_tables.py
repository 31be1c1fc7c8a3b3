"""The table of the guard: what the admins of a connection have been warned of."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from postmeter.store.base import Base


class ConnectionWarning(Base):
    """What was last told about a connection ``at`` that time: bounces at a provider, or complaints.

    ``about`` empty: nothing yet, since too few recipients are known, and ``at`` is when it was last looked at.
    """

    __tablename__ = "connection_warning"
    account_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    connection_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    about: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[float]
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's own form
