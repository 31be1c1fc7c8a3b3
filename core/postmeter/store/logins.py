"""In which browsers people are logged in: a row for each, found by the secret in its cookie."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from postmeter.store.panel_tables import Login
from postmeter.store.rows import delete_some
from postmeter.store.secrets import Secrets, new_token
from postmeter.store.tables import User

LIFE = 43_200.0  # seconds after which one has to log in again
NEWS = 60.0  # seconds; when somebody was seen is noted no more often
MOST_AGENT = 400  # characters of what a browser calls itself


@dataclass(frozen=True)
class LoginFacts:
    """A log-in; times in seconds since the epoch, ``seen_at`` to a minute. ``agent``: what the browser calls itself."""

    id: int
    user_id: int
    created_at: float
    seen_at: float
    address: str
    agent: str


def begin(
    session: Session, secrets: Secrets, user_id: int, address: str, agent: str, now: float
) -> tuple[str, LoginFacts]:
    """A new log-in and the secret for its cookie. Log-ins whose time is over are forgotten."""
    delete_some(session, Login, Login.created_at <= now - LIFE)
    token = new_token()
    row = Login(
        user_id=user_id,
        token=secrets.hash_token(token),
        created_at=now,
        seen_at=now,
        address=address,
        agent=agent[:MOST_AGENT],
    )
    session.add(row)
    session.flush()
    _saw(session, user_id, now)
    return token, _facts(row)


def find(session: Session, secrets: Secrets, token: str, now: float) -> LoginFacts | None:
    """The log-in with this secret; None when it was ended or its time is over."""
    row = session.scalar(select(Login).where(Login.token == secrets.hash_token(token), Login.created_at > now - LIFE))
    return _facts(row) if row else None


def logins_of(session: Session, user_id: int, now: float) -> list[LoginFacts]:
    """Where the user is logged in, most recently seen first."""
    rows = select(Login).where(Login.user_id == user_id, Login.created_at > now - LIFE)
    return [_facts(row) for row in session.scalars(rows.order_by(Login.seen_at.desc(), Login.id.desc()))]


def seen(session: Session, login: LoginFacts, now: float) -> None:
    """Note that the user has just used the panel."""
    session.execute(update(Login).where(Login.id == login.id).values(seen_at=now))
    _saw(session, login.user_id, now)


def end(session: Session, user_id: int, login_id: int) -> bool:
    """End one log-in of the user; whether there was such a one."""
    mine = delete(Login).where(Login.id == login_id, Login.user_id == user_id)
    return bool(session.connection().execute(mine).rowcount)


def end_all(session: Session, user_id: int, keep: int | None = None) -> None:
    """End the user's log-ins, but the one with the number ``keep``, whose cookie needs the new epoch."""
    session.execute(update(User).where(User.id == user_id).values(epoch=User.epoch + 1))
    session.execute(delete(Login).where(Login.user_id == user_id, Login.id != (keep or 0)))


def _saw(session: Session, user_id: int, now: float) -> None:
    session.execute(update(User).where(User.id == user_id).values(seen_at=now))


def _facts(row: Login) -> LoginFacts:
    return LoginFacts(row.id, row.user_id, row.created_at, row.seen_at, row.address, row.agent)
