"""A panel over a database with two accounts, and somebody who uses it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from flask import Flask

from postmeter.config import Server, Settings
from postmeter.store import accounts
from postmeter.store.engine import Store
from postmeter.store.secrets import NewPassword, Secrets
from support.panel import NOW, OPERATOR, OTHER, OWNER, PASSWORD, Browser, House


@pytest.fixture(scope="session", autouse=True)
def quick_hashes() -> Iterator[None]:
    """Passwords cost nothing here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("postmeter.store.secrets._hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield


@pytest.fixture(scope="session")
def password(quick_hashes: None) -> NewPassword:
    """Everybody's."""
    return NewPassword.of(PASSWORD)


@pytest.fixture
def house(tmp_path: Path, sqlite_template: Path, password: NewPassword) -> Iterator[House]:
    """An operator and the accounts shop and forum, each with an owner."""
    shutil.copy(sqlite_template, tmp_path)
    settings = Settings(server=Server(hostname="mail.example.net", data=str(tmp_path)))
    house = House(Store.open(settings.store_url), settings, Secrets.open(tmp_path))
    with house.store.write() as session:
        accounts.add_user(session, OPERATOR, True, password, NOW)
    house.account("shop", OWNER, password)
    house.account("forum", OTHER, password)
    yield house
    house.store.close()


@pytest.fixture
def app(house: House) -> Flask:
    """The application over the house's store."""
    return house.app()


@pytest.fixture
def browser(app: Flask) -> Browser:
    """Somebody who has not logged in yet."""
    return Browser(app)


@pytest.fixture
def owner(browser: Browser) -> Browser:
    """The owner of the account shop, logged in."""
    assert browser.log_in(OWNER).status_code == 302
    return browser


@pytest.fixture
def operator(app: Flask) -> Browser:
    """The operator, logged in."""
    browser = Browser(app, "192.0.2.9")
    assert browser.log_in(OPERATOR).status_code == 302
    return browser
