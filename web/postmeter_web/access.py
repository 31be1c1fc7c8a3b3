"""Which accounts the visitor may see; whatever else exists is answered like what does not exist."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from flask import abort
from sqlalchemy.orm import Session
from werkzeug.routing import UnicodeConverter

from postmeter.errors import UsageError
from postmeter.store import accounts
from postmeter.store.accounts import UserFacts


@dataclass(frozen=True)
class AccountLink:
    """An account as far as links need it."""

    id: int
    name: str


class AccountName(UnicodeConverter):
    """An account's name in a path: any name, also one with a slash or of dots only, which browsers would resolve."""

    def to_url(self, value: str) -> str:
        """The name as one path segment."""
        value = value.replace("%", "%25").replace("/", "%2F")
        return super().to_url(value if value.strip(".") else value.replace(".", "%2E"))

    def to_python(self, value: str) -> str:
        """The name that ``to_url`` was given."""
        return unquote(super().to_python(value))


def visible_accounts(session: Session, user: UserFacts) -> list[AccountLink]:
    """By name: every account for an operator, their own for everybody else."""
    if user.operator:
        return [AccountLink(id_, name) for id_, name in accounts.all_accounts(session)]
    return [AccountLink(account.id, account.name) for account in user.accounts]


def account_or_404(session: Session, user: UserFacts, name: str) -> AccountLink:
    """The account of that name, if the visitor may see it."""
    try:
        account = accounts.account_by_name(session, name)
    except UsageError:
        abort(404)
    if not user.operator and account.id not in {own.id for own in user.accounts}:
        abort(404)
    return AccountLink(account.id, account.name)
