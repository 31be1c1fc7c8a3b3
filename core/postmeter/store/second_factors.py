"""The second factor: codes of an app that change every 30 seconds (RFC 6238), and codes on paper for its loss."""

from __future__ import annotations

import secrets as random
from hmac import compare_digest

import pyotp
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from postmeter.errors import UsageError
from postmeter.store.panel_tables import RecoveryCode
from postmeter.store.secrets import Secrets
from postmeter.store.tables import User

STEP = 30  # seconds (RFC 6238, 4.1)
CODES = 10  # recovery codes of a user
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # without those that look alike: 10 of them hold 49 bits
WRONG = "this code is wrong or was used before; wait for the app's next one"


def new_secret() -> str:
    """A secret for an app: 160 bits in base32 (RFC 4226, 4)."""
    return pyotp.random_base32()


def address_of(secret: str, email: str, issuer: str) -> str:
    """The otpauth address of a secret, which apps read from a picture."""
    return pyotp.TOTP(secret, name=email, issuer=issuer).provisioning_uri()


def step_of(secret: str, code: str, now: float) -> int | None:
    """The time step that the code belongs to: this one, or one before or after (RFC 6238, 5.2); None: it is wrong."""
    current = int(now) // STEP
    totp = pyotp.TOTP(secret)
    matches = [step for step in (current - 1, current, current + 1) if _same(totp.at(step * STEP), code)]
    return matches[-1] if matches else None


def set_up(session: Session, secrets: Secrets, user_id: int, secret: str, code: str, now: float) -> list[str]:
    """Ask the user for codes of this secret from now on; the recovery codes. UsageError when the code is wrong."""
    step = step_of(secret, _plain(code), now)
    if step is None:
        raise UsageError(WRONG)
    sealed = secrets.seal(secret.encode())
    session.execute(update(User).where(User.id == user_id).values(totp=sealed, totp_step=step))
    return new_codes(session, secrets, user_id)


def turn_off(session: Session, user_id: int) -> None:
    """Ask the user for the password only."""
    session.execute(update(User).where(User.id == user_id).values(totp=None))
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))


def new_codes(session: Session, secrets: Secrets, user_id: int) -> list[str]:
    """New recovery codes instead of those that the user has; to be shown once."""
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    codes = ["".join(random.choice(_LETTERS) for _ in range(10)) for _ in range(CODES)]
    session.add_all(RecoveryCode(user_id=user_id, digest=_digest(secrets, user_id, code)) for code in codes)
    session.flush()
    return [f"{code[:5]}-{code[5:]}" for code in codes]


def codes_left(session: Session, user_id: int) -> int:
    """How many recovery codes the user can still use."""
    mine = (RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None))
    return session.scalar(select(func.count()).select_from(RecoveryCode).where(*mine)) or 0


def accept(session: Session, secrets: Secrets, user_id: int, code: str, now: float) -> bool:
    """Whether the code is the app's or a recovery code of the user; it is used then, and good for nothing more."""
    plain = _plain(code)
    return _accept_totp(session, secrets, user_id, plain, now) or _accept_paper(session, secrets, user_id, plain, now)


def _accept_totp(session: Session, secrets: Secrets, user_id: int, code: str, now: float) -> bool:
    sealed = session.scalar(select(User.totp).where(User.id == user_id))
    step = step_of(secrets.unseal(sealed).decode(), code, now) if sealed else None
    if step is None:
        return False
    later = update(User).where(User.id == user_id, User.totp_step < step).values(totp_step=step)
    return bool(session.connection().execute(later).rowcount)


def _accept_paper(session: Session, secrets: Secrets, user_id: int, code: str, now: float) -> bool:
    mine = (RecoveryCode.user_id == user_id, RecoveryCode.digest == _digest(secrets, user_id, code))
    first = update(RecoveryCode).where(*mine, RecoveryCode.used_at.is_(None)).values(used_at=now)
    return bool(session.connection().execute(first).rowcount)


def _plain(code: str) -> str:
    """A code as people type it: with blanks, a hyphen, capitals."""
    return "".join(code.split()).replace("-", "").lower()


def _same(one: str, other: str) -> bool:
    return compare_digest(one.encode(), other.encode())


def _digest(secrets: Secrets, user_id: int, code: str) -> bytes:
    return secrets.hash_token(f"recovery code {user_id} {code}")
