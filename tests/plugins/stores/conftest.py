"""Shops, and what they are asked by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from plugins.stores.bench import Bench
from plugins.stores.fakes import magento, prestashop, shopware, woocommerce
from plugins.stores.fakes.base import FakeShop, serving
from plugins.stores.fakes.magento import FakeMagento
from plugins.stores.fakes.prestashop import FakePrestaShop
from plugins.stores.fakes.shopware import FakeShopware
from plugins.stores.fakes.woocommerce import FakeWooCommerce
from postmeter import fetch
from postmeter.store.engine import Store
from postmeter_stores.api import Shop
from postmeter_stores.kinds import KINDS
from postmeter_stores.settings import Settings
from postmeter_stores.web import Client
from support.tenants import NOW

OWN = Settings(allow_private=True, timeout=5)
CREDENTIALS = {
    "woocommerce": {"key": woocommerce.KEY, "secret": woocommerce.SECRET},
    "shopware": {"key": shopware.KEY, "secret": shopware.SECRET},
    "magento": {
        "key": magento.KEY,
        "secret": magento.SECRET,
        "token": magento.TOKEN,
        "token_secret": magento.TOKEN_SECRET,
    },
    "prestashop": {"key": prestashop.KEY},
}
Opener = Callable[..., Shop]


@pytest.fixture
def woo() -> Iterator[FakeWooCommerce]:
    """A shop with WooCommerce and the order 1234."""
    with serving(FakeWooCommerce()) as shop:
        cast(FakeWooCommerce, shop).add(1234)
        yield cast(FakeWooCommerce, shop)


@pytest.fixture
def sw() -> Iterator[FakeShopware]:
    """A shop with Shopware and the order 10023."""
    with serving(FakeShopware()) as shop:
        cast(FakeShopware, shop).add("10023")
        yield cast(FakeShopware, shop)


@pytest.fixture
def mage() -> Iterator[FakeMagento]:
    """A shop with Magento and the order 000000123."""
    with serving(FakeMagento()) as shop:
        cast(FakeMagento, shop).add("000000123")
        yield cast(FakeMagento, shop)


@pytest.fixture
def presta() -> Iterator[FakePrestaShop]:
    """A shop with PrestaShop and the order XKBKNABJK."""
    with serving(FakePrestaShop()) as shop:
        cast(FakePrestaShop, shop).add("XKBKNABJK")
        yield cast(FakePrestaShop, shop)


@pytest.fixture
def opened() -> Opener:
    """Opens a shop of a kind at a fake, with the right credentials or others; ``clock`` may be given."""

    def open_it(kind: str, fake: FakeShop, clock: Callable[[], float] = lambda: NOW, **credentials: Any) -> Shop:
        given = {**CREDENTIALS[kind], **credentials}
        return KINDS[kind].open(Client(fetch, fake.base, OWN, clock), given)

    return open_it


@pytest.fixture
def bench(store: Store) -> Bench:
    """The plugin, on both databases."""
    return Bench(store, CREDENTIALS)


@pytest.fixture
def lite(sqlite_url: str) -> Iterator[Bench]:
    """The plugin on SQLite, for what the database does not matter to."""
    store = Store.open(sqlite_url)
    yield Bench(store, CREDENTIALS)
    store.close()
