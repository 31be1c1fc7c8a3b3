"""Notes in WooCommerce's orders."""

from __future__ import annotations

from dataclasses import replace

import pytest
import pytest_twisted

from plugins.stores.conftest import Opener
from plugins.stores.fakes.base import Answer, away
from plugins.stores.fakes.woocommerce import FakeWooCommerce
from plugins.stores.test_note import NOTE
from postmeter_stores.api import Order
from postmeter_stores.web import Absent, Missing, Unusable

ORDER = Order("1234", "1234")


@pytest_twisted.ensureDeferred
async def test_an_order_is_found_by_its_id(woo: FakeWooCommerce, opened: Opener) -> None:
    shop = opened("woocommerce", woo)
    assert await away(shop.find, "1234") == ORDER
    assert await away(shop.find, "1235") is None


@pytest_twisted.ensureDeferred
async def test_an_order_is_found_by_the_number_that_an_extension_gave(woo: FakeWooCommerce, opened: Opener) -> None:
    woo.add(77, name="2024-0815")
    woo.add(815, name="77")
    shop = opened("woocommerce", woo)
    assert await away(shop.find, "2024-0815") == Order("77", "2024-0815")
    assert await away(shop.find, "77") == Order("815", "77")


@pytest_twisted.ensureDeferred
async def test_the_newest_order_of_an_address_is_that_of_the_customer(woo: FakeWooCommerce, opened: Opener) -> None:
    woo.add(1300, "ann@example.org", name="joe@example.org")
    woo.add(1250, "joe@example.org")
    shop = opened("woocommerce", woo)
    assert await away(shop.newest, "JOE@example.org".lower()) == Order("1250", "1250")
    assert await away(shop.newest, "nobody@example.org") is None


@pytest_twisted.ensureDeferred
async def test_a_note_is_written_once_and_not_for_the_customer(woo: FakeWooCommerce, opened: Opener) -> None:
    shop = opened("woocommerce", woo)
    for _ in range(2):
        await away(shop.write, ORDER, NOTE)
    assert woo.texts(1234) == [NOTE.text]
    await away(shop.write, ORDER, replace(NOTE, recipient="ann@example.org"))
    assert len(woo.texts(1234)) == 2


@pytest_twisted.ensureDeferred
async def test_an_order_that_is_gone_is_missing(woo: FakeWooCommerce, opened: Opener) -> None:
    with pytest.raises(Missing, match="order 99 is not there any more"):
        await away(opened("woocommerce", woo).write, Order("99", "99"), NOTE)


@pytest_twisted.ensureDeferred
async def test_the_check_writes_nothing(woo: FakeWooCommerce, opened: Opener) -> None:
    await away(opened("woocommerce", woo).check)
    assert woo.calls() == ["/wp-json/wc/v3/orders/0/notes"]
    assert woo.texts(1234) == []


@pytest_twisted.ensureDeferred
async def test_a_wrong_key_and_one_that_may_only_read_are_told(woo: FakeWooCommerce, opened: Opener) -> None:
    with pytest.raises(Unusable, match=r"refuses .*: 401 \(Sorry, you cannot list resources\.\)"):
        await away(opened("woocommerce", woo, secret="cs_other").check)
    woo.writable = False
    with pytest.raises(Unusable, match="does not have write permissions"):
        await away(opened("woocommerce", woo).check)


@pytest_twisted.ensureDeferred
async def test_where_there_is_no_woocommerce_no_order_is_missing(woo: FakeWooCommerce, opened: Opener) -> None:
    woo.installed = False
    shop = opened("woocommerce", woo)
    for call in (lambda: shop.check(), lambda: shop.find("1234"), lambda: shop.write(ORDER, NOTE)):
        with pytest.raises(Absent, match="no such API"):
            await away(call)
    woo.installed, woo.trouble = True, [None, Answer(404, "<h1>Not found</h1>")]
    with pytest.raises(Absent, match="no such API"):
        await away(shop.check)
