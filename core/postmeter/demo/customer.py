"""The demo's customer: an account with an owner, booked mails, a verified domain and a connection."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from postmeter.config import Settings, address
from postmeter.server import tls
from postmeter.store import schema
from postmeter.store.accounts import account_by_name, add_account
from postmeter.store.connections import add_connection
from postmeter.store.domains import NewKey, add_domain
from postmeter.store.engine import Store
from postmeter.store.quota import book_block
from postmeter.store.secrets import NewPassword, Secrets

ACCOUNT = "demo-shop"
DOMAIN = "demo-shop.example"
OWNER = f"owner@{DOMAIN}"
LIST_HELP = f"https://www.{DOMAIN}/hilfe"


@dataclass(frozen=True)
class AccessData:
    """What a shop's settings need: where to hand mail in, as whom, and the certificate to trust."""

    host: str
    port: int
    username: str
    password: str = field(repr=False)
    certificate: Path


@dataclass(frozen=True)
class Customer:
    """The account and its owner's log-in to the panel."""

    account_id: int
    owner: str
    password: str = field(repr=False)
    access: AccessData


def furnish(settings: Settings) -> Customer:
    """Make tables and certificate in the data folder, and the customer with a block (so there is no hourly limit)."""
    secrets = Secrets.open(settings.data)
    certificate = tls.files(settings).certificate
    store = Store.open(settings.store_url)
    try:
        schema.ensure(store)
        return _add(store, secrets, settings, certificate)
    finally:
        store.close()


def _add(store: Store, secrets: Secrets, settings: Settings, certificate: Path) -> Customer:
    password, key, now = NewPassword.generate(), NewKey.generate(), time.time()
    with store.write() as session:
        added = add_account(session, ACCOUNT, OWNER, True, settings, password, now)
        account = account_by_name(session, ACCOUNT)
        book_block(session, account.id, settings.block.min, settings.block, now)
        add_domain(session, secrets, account, DOMAIN, LIST_HELP, True, [key], now)
        connection = add_connection(session, secrets, account, "Shop", [DOMAIN], now)
    host, port = address("smtp.submission", settings.smtp.submission[0])
    access = AccessData(host, port, connection.username, connection.password, certificate)
    return Customer(added.account_id, added.owner, password.plain, access)
