"""What stands between a guess and its answer: tries are counted, passwords compared, and some need a second factor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import request
from flask_babel import lazy_gettext, ngettext

from postmeter.store import accounts, second_factors
from postmeter.store.accounts import UserFacts
from postmeter.store.secrets import NewPassword
from postmeter_web.context import Change, now, panel, unlogged
from postmeter_web.person.throttle import Throttle, address_key

WRONG = lazy_gettext("The e-mail address or the password is wrong.")
WRONG_CODE = lazy_gettext("The code is wrong or was used before. Wait for the app's next one, or take a recovery code.")


class Denied(Exception):
    """A sentence that says why not, and the HTTP status that goes with it."""

    def __init__(self, sentence: object, status: int = 403) -> None:
        super().__init__(str(sentence))
        self.status = status


def here() -> str:
    """The key under which the visitor's address is counted."""
    return f"address {address_key(request.remote_addr or '')}"


@contextmanager
def attempt(*keys: str, throttle: Throttle | None = None) -> Iterator[None]:
    """A try that counts as failed under all keys unless the block ends well; Denied: there were too many."""
    guesses = throttle or panel().throttle
    count_try(guesses, *keys)
    yield
    guesses.forgive(keys, now())


def count_try(throttle: Throttle, *keys: str) -> None:
    """A try that counts, however it ends; Denied: there were too many."""
    if wait := throttle.attempt(keys, now()):
        raise Denied(_too_many(wait), 429)


def check_password(email: str, password: str) -> UserFacts:
    """The user whose password this is; Denied when it is not. A hash made with old parameters is replaced."""
    renewed: NewPassword | None = None
    with attempt(f"user {email.casefold()}", here()):
        with panel().checks, panel().store.read() as db:
            facts = accounts.authenticate(db, email, password)
            old = accounts.old_hash(db, facts.id) if facts else None
            if old:
                renewed = NewPassword.of(password)
        if facts is None:
            raise Denied(WRONG)
    if old and renewed:
        with unlogged(panel()) as db:
            accounts.replace_hash(db, facts.id, old, renewed)
    return facts


@contextmanager
def code_attempt(user_id: int) -> Iterator[None]:
    """A try to guess the user's code, counted apart from the user's passwords; Denied: there were too many."""
    with attempt(f"code {user_id}", here()):
        yield


def use_code(change: Change, user_id: int, code: str) -> None:
    """The code is used up by this change; Denied when it is wrong."""
    if not second_factors.accept(change.db, panel().secrets, user_id, code, now()):
        raise Denied(WRONG_CODE)


def must_have_second_factor(facts: UserFacts) -> bool:
    """Whether the settings leave this user no choice."""
    return {"operators": facts.operator, "everybody": True}.get(panel().settings.web.second_factor, False)


def _too_many(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return str(
        ngettext(
            "Too many tries. Please try again in %(num)d minute.",
            "Too many tries. Please try again in %(num)d minutes.",
            minutes,
        )
    )
