"""How a connection's messages are handled unless they say something else themselves."""

from __future__ import annotations

from sqlalchemy.orm import Session

from postmeter.errors import UsageError
from postmeter.message import handling
from postmeter.message.handling import Handling
from postmeter.store.tables import Connection


def handling_of(connection: Connection) -> Handling:
    """What is set for a connection."""
    return Handling(connection.priority, connection.lifetime, connection.tls_required)


def set_handling(session: Session, connection: Connection, wanted: Handling) -> None:
    """Handle a connection's messages in this way; it holds for what is submitted a second later."""
    connection.priority, connection.lifetime = wanted.priority, wanted.lifetime
    connection.tls_required = wanted.tls_required
    session.flush()


def priority_of(text: str) -> int:
    """The priority that a person named; UsageError when there is none of that name."""
    try:
        return handling.priority_of(text.strip())
    except ValueError as error:
        raise UsageError(str(error)) from None


def lifetime_of(text: str) -> int:
    """The lifetime that a person gave, in seconds (0: as the setting says); UsageError when it is none."""
    try:
        return 0 if text.strip() == "0" else handling.lifetime_of(text.strip())
    except ValueError as error:
        raise UsageError(str(error)) from None
