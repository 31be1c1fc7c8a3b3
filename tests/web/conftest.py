"""A panel over a database with two accounts, and somebody who uses it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from flask import Flask

from postmeter.store import accounts
from postmeter.store.secrets import NewPassword
from support.lived_in import LivedIn, Model
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
    house = _settled(tmp_path, password)
    yield house
    house.store.close()


def _settled(folder: Path, password: NewPassword) -> House:
    house = House.at(folder)
    with house.store.write() as session:
        accounts.add_user(session, OPERATOR, True, password, NOW)
    house.account("shop", OWNER, password)
    house.account("forum", OTHER, password)
    return house


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, password: NewPassword) -> Model:
    """The house in which everything is."""
    folder = tmp_path_factory.mktemp("model")
    shutil.copy(sqlite_template, folder)
    return Model.built(_settled(folder, password), password)


@pytest.fixture
def lived_in(tmp_path: Path, model: Model) -> Iterator[LivedIn]:
    """A copy of it, with the pages of all plugins."""
    copy = model.copy(tmp_path)
    yield copy
    copy.house.store.close()


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
