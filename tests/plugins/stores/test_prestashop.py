"""Private messages of PrestaShop's orders."""

from __future__ import annotations

from dataclasses import replace

import pytest
import pytest_twisted

from plugins.stores.conftest import Opener
from plugins.stores.fakes.base import away
from plugins.stores.fakes.prestashop import ALL, FakePrestaShop
from plugins.stores.test_note import NOTE
from postmeter_stores.api import Order
from postmeter_stores.web import Later, Unusable

ORDER = Order("5", "XKBKNABJK")


@pytest_twisted.ensureDeferred
async def test_an_order_is_found_by_reference_or_id(presta: FakePrestaShop, opened: Opener) -> None:
    shop = opened("prestashop", presta)
    assert await away(shop.find, "XKBKNABJK") == ORDER
    assert await away(shop.find, "5") == ORDER
    assert await away(shop.find, "6") is None
    assert await away(shop.find, "ABC") is None


@pytest_twisted.ensureDeferred
async def test_the_newest_order_of_an_address_that_was_a_guest_twice(presta: FakePrestaShop, opened: Opener) -> None:
    presta.add("SECOND")
    presta.add("OTHER", "ann@example.org")
    shop = opened("prestashop", presta)
    assert await away(shop.newest, "Joe@example.org") == Order("6", "SECOND")
    assert await away(shop.newest, "nobody@example.org") is None


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("address", ["joe@example.org|ann@example.org", "%@example.org", "a]&x=[b@example.org"])
async def test_an_address_is_not_taken_for_a_filter(presta: FakePrestaShop, opened: Opener, address: str) -> None:
    presta.add("OTHER", "ann@example.org")
    assert await away(opened("prestashop", presta).newest, address) is None


@pytest_twisted.ensureDeferred
async def test_a_message_is_written_once_and_privately(presta: FakePrestaShop, opened: Opener) -> None:
    shop = opened("prestashop", presta)
    for _ in range(2):
        await away(shop.write, ORDER, NOTE)
    assert presta.texts(5) == [NOTE.text]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("reply", ["a & b ]]> \"'", "Käse 🧀 é", "\0\x0b\ufffe\ud800", "<script>x</script>", "&amp;"])
async def test_any_reply_is_proper_xml_in_utf8(presta: FakePrestaShop, opened: Opener, reply: str) -> None:
    note = replace(NOTE, reply=reply)
    await away(opened("prestashop", presta).write, ORDER, note)
    assert presta.texts(5) == [note.text]


@pytest_twisted.ensureDeferred
async def test_the_check_writes_nothing(presta: FakePrestaShop, opened: Opener) -> None:
    await away(opened("prestashop", presta).check)
    assert presta.rows["messages"] == []


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("permission", sorted(ALL))
async def test_a_permission_that_is_missing_is_named(
    presta: FakePrestaShop, opened: Opener, permission: tuple[str, str]
) -> None:
    presta.permissions = ALL - {permission}
    with pytest.raises(Unusable, match=f"405 .*{permission[0]} is not allowed for the resource {permission[1]}"):
        await away(opened("prestashop", presta).check)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("key", ["short", "Z" * 32])
async def test_a_wrong_key_is_told(presta: FakePrestaShop, opened: Opener, key: str) -> None:
    with pytest.raises(Unusable, match="401"):
        await away(opened("prestashop", presta, key=key).check)


@pytest_twisted.ensureDeferred
async def test_a_webservice_that_is_off_may_come_back(presta: FakePrestaShop, opened: Opener) -> None:
    presta.active = False
    with pytest.raises(Later, match="webservice is disabled"):
        await away(opened("prestashop", presta).check)
