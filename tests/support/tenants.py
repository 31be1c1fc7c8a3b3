"""Accounts, domains and connections for tests, made quickly: no password is hashed and one RSA key serves all."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from itertools import count

from sqlalchemy.orm import Session

from postmeter.config import Settings
from postmeter.message.signature import RSA
from postmeter.store.accounts import add_account
from postmeter.store.domains import NewKey, add_domain
from postmeter.store.secrets import NewPassword, Secrets
from postmeter.store.tables import Account

NOW = 1_800_000_000.0
PASSWORD = NewPassword("initial", "not a hash")
SECRETS = Secrets(bytes(range(32)))
HELP = "https://shop.example/help"

_selectors = count(1)


@cache
def rsa_key() -> NewKey:
    """An RSA key, made once."""
    return NewKey.generate(RSA)


def new_key() -> NewKey:
    """The RSA key under a selector of its own."""
    return replace(rsa_key(), selector=f"pm{next(_selectors)}")


def make_account(session: Session, name: str = "acme", now: float = NOW) -> Account:
    """An account with its owner and its demo quota."""
    domain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    added = add_account(session, name, f"owner@{domain}.example", False, Settings(), PASSWORD, now)
    return session.get_one(Account, added.account_id)


def make_domain(session: Session, account: Account, name: str = "shop.example", *, trust: bool = True) -> None:
    """A sending domain with a key."""
    add_domain(session, SECRETS, account, name, HELP, trust, [new_key()], NOW)
