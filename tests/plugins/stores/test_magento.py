"""Comments in the history of Magento's orders."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted

from plugins.stores.conftest import CREDENTIALS, OWN, Opener
from plugins.stores.fakes.base import away
from plugins.stores.fakes.magento import FakeMagento
from plugins.stores.test_note import NOTE
from postmeter import Fetched
from postmeter.fetch import Target
from postmeter_stores.api import Order
from postmeter_stores.kinds import KINDS
from postmeter_stores.web import Client, Missing, Unusable, clean_base
from support.tenants import NOW

ORDER = Order("1", "000000123", {"status": "processing"})


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("given", [{}, {"key": "", "secret": "", "token_secret": ""}])
async def test_an_order_is_found_with_a_signature_or_a_bearer_token(
    mage: FakeMagento, opened: Opener, given: dict[str, str]
) -> None:
    mage.bearer = bool(given)
    shop = opened("magento", mage, **given)
    assert await away(shop.find, "000000123") == ORDER
    assert await away(shop.find, "123") is None


@pytest.mark.parametrize(
    "url",
    [
        "https://müller.example/de/",
        "https://shop.example.",
        "https://SHOP.example:443",
        "https://[2001:4860:0::1]:8443",
    ],
)
def test_what_is_signed_is_the_host_that_is_asked(url: str) -> None:
    fake = FakeMagento()
    fake.add("000000123")

    def fetch(method: str, url: str, *, headers: dict[str, str], body: bytes, **options: Any) -> Fetched:
        asked = Target.parse(url)
        folder, _, path = asked.path.partition("/rest")
        fake.base = f"https://{asked.authority}{folder}"
        given = {name.lower(): value for name, value in headers.items()}
        answer = fake.respond(method, f"/rest{path}", given, body)
        return Fetched(answer.status, {}, answer.octets)

    client = Client(fetch, clean_base(url, OWN), OWN, lambda: NOW)
    assert KINDS["magento"].open(client, CREDENTIALS["magento"]).find("000000123") == ORDER
    assert fake.wrong == []


@pytest_twisted.ensureDeferred
async def test_the_newest_order_of_an_address(mage: FakeMagento, opened: Opener) -> None:
    mage.add("000000124", "joe+x&y=z@example.org")
    mage.add("000000125", "joe+x&y=z@example.org", status="complete")
    shop = opened("magento", mage)
    assert await away(shop.newest, "joe+x&y=z@example.org") == Order("3", "000000125", {"status": "complete"})
    assert await away(shop.newest, "nobody@example.org") is None


@pytest_twisted.ensureDeferred
async def test_a_comment_is_written_once_silently_and_leaves_the_status(mage: FakeMagento, opened: Opener) -> None:
    mage.add("000000126", status="holded")
    shop = opened("magento", mage)
    order = await away(shop.find, "000000126")
    assert order is not None
    for _ in range(2):
        await away(shop.write, order, NOTE)
    assert mage.texts("000000126") == [NOTE.text]
    assert mage.orders[2]["status"] == "holded"


@pytest_twisted.ensureDeferred
async def test_an_order_that_is_gone_is_missing(mage: FakeMagento, opened: Opener) -> None:
    with pytest.raises(Missing, match="000000999 is not there any more"):
        await away(opened("magento", mage).write, Order("9", "000000999", {"status": "pending"}), NOTE)


@pytest_twisted.ensureDeferred
async def test_the_check_writes_nothing(mage: FakeMagento, opened: Opener) -> None:
    await away(opened("magento", mage).check)
    assert mage.texts("000000123") == []


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("wrong", [{"secret": "x"}, {"token_secret": "x"}, {"key": "x"}, {"token": "x"}])
async def test_a_wrong_credential_is_told(mage: FakeMagento, opened: Opener, wrong: dict[str, str]) -> None:
    with pytest.raises(Unusable, match=r"401 \(The consumer isn't authorized to access Magento_Sales::actions_view"):
        await away(opened("magento", mage, **wrong).check)


@pytest_twisted.ensureDeferred
async def test_a_resource_that_is_missing_is_named(mage: FakeMagento, opened: Opener) -> None:
    mage.resources = {"Magento_Sales::actions_view"}
    with pytest.raises(Unusable, match="Magento_Sales::comment"):
        await away(opened("magento", mage).check)


@pytest_twisted.ensureDeferred
async def test_a_bearer_token_that_the_shop_does_not_allow_is_told(mage: FakeMagento, opened: Opener) -> None:
    with pytest.raises(Unusable, match="401"):
        await away(opened("magento", mage, key="").check)
