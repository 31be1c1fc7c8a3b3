"""Custom fields of Shopware's orders."""

from __future__ import annotations

from dataclasses import replace

import pytest
import pytest_twisted

from plugins.stores.conftest import Opener
from plugins.stores.fakes.base import away
from plugins.stores.fakes.shopware import ALL, FakeShopware
from plugins.stores.test_note import NOTE
from postmeter_stores.api import Shop
from postmeter_stores.shopware import BETWEEN, MAX_NOTES
from postmeter_stores.web import Unusable
from support.tenants import NOW


async def write(shop: Shop, note: object = NOTE, number: str = "10023") -> None:
    """Find the order and write the note."""

    def both() -> None:
        order = shop.find(number)
        assert order is not None
        shop.write(order, note)  # type: ignore[arg-type]

    await away(both)


@pytest_twisted.ensureDeferred
async def test_a_note_becomes_custom_fields(sw: FakeShopware, opened: Opener) -> None:
    await write(opened("shopware", sw))
    assert sw.fields("10023") == {
        "postmeter_status": "bounced",
        "postmeter_at": "2027-01-15T08:00:00Z",
        "postmeter_recipient": "joe@example.org",
        "postmeter_log": NOTE.text,
    }


@pytest_twisted.ensureDeferred
async def test_other_fields_stay_and_a_note_is_logged_once(sw: FakeShopware, opened: Opener) -> None:
    sw.add("10024", gift="yes")
    shop = opened("shopware", sw)
    for _ in range(2):
        await write(shop, number="10024")
    fields = sw.fields("10024")
    assert (fields["gift"], fields["postmeter_log"]) == ("yes", NOTE.text)
    assert sw.calls("PATCH") == [sw.calls("PATCH")[0]]


@pytest_twisted.ensureDeferred
async def test_an_older_fact_is_logged_and_does_not_replace_the_status(sw: FakeShopware, opened: Opener) -> None:
    shop = opened("shopware", sw)
    late, early = replace(NOTE, kind="delivered", at=NOW + 60), replace(NOTE, recipient="ann@example.org")
    await write(shop, late)
    await write(shop, early)
    fields = sw.fields("10023")
    assert (fields["postmeter_status"], fields["postmeter_recipient"]) == ("delivered", "joe@example.org")
    assert fields["postmeter_log"] == f"{early.text}{BETWEEN}{late.text}"


@pytest_twisted.ensureDeferred
async def test_a_log_does_not_grow_for_ever(sw: FakeShopware, opened: Opener) -> None:
    shop = opened("shopware", sw)
    for number in range(MAX_NOTES + 3):
        await write(shop, replace(NOTE, recipient=f"r{number}@example.org"))
    log = sw.fields("10023")["postmeter_log"].split(BETWEEN)
    assert len(log) == MAX_NOTES
    assert f"r{MAX_NOTES + 2}@" in log[0]


@pytest_twisted.ensureDeferred
async def test_the_set_of_fields_is_made_once(sw: FakeShopware, opened: Opener) -> None:
    for number in range(2):
        shop = opened("shopware", sw)
        await write(shop, replace(NOTE, recipient=f"r{number}@example.org"))
        await write(shop, replace(NOTE, recipient=f"s{number}@example.org"))
    assert sw.calls().count("/api/custom-field-set") == 1
    assert sw.calls().count("/api/search/custom-field-set") == 2


@pytest_twisted.ensureDeferred
async def test_the_newest_order_of_an_address(sw: FakeShopware, opened: Opener) -> None:
    sw.add("10024")
    sw.add("10025", "ann@example.org")
    shop = opened("shopware", sw)
    found = await away(shop.newest, "joe@example.org")
    assert found is not None
    assert found.number == "10024"
    assert await away(shop.newest, "nobody@example.org") is None
    assert await away(shop.find, "99") is None


@pytest_twisted.ensureDeferred
async def test_a_token_is_used_until_shortly_before_its_end(sw: FakeShopware, opened: Opener) -> None:
    now = [NOW]
    shop = opened("shopware", sw, clock=lambda: now[0])
    for _ in range(3):
        await away(shop.find, "10023")
        now[0] += 200
    assert sw.issued == 1
    await away(shop.find, "10023")
    assert sw.issued == 2


@pytest_twisted.ensureDeferred
async def test_a_token_that_is_not_taken_any_more_is_renewed(sw: FakeShopware, opened: Opener) -> None:
    shop = opened("shopware", sw)
    await away(shop.find, "10023")
    sw.tokens.clear()
    assert await away(shop.find, "10023") is not None
    assert sw.issued == 2


@pytest_twisted.ensureDeferred
async def test_a_token_that_is_never_taken_is_not_renewed_for_ever(sw: FakeShopware, opened: Opener) -> None:
    sw.before = lambda asked: sw.tokens.clear()
    with pytest.raises(Unusable, match="401"):
        await away(opened("shopware", sw).find, "10023")
    assert sw.issued == 1


@pytest_twisted.ensureDeferred
async def test_the_check_writes_nothing_but_makes_the_set(sw: FakeShopware, opened: Opener) -> None:
    await away(opened("shopware", sw).check)
    assert len(sw.sets) == 1
    assert sw.fields("10023") == {}


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("privilege", sorted(ALL))
async def test_a_permission_that_is_missing_is_named(sw: FakeShopware, opened: Opener, privilege: str) -> None:
    sw.privileges = ALL - {privilege}
    with pytest.raises(Unusable, match=f"403 .*{privilege}"):
        await away(opened("shopware", sw).check)


@pytest_twisted.ensureDeferred
async def test_a_wrong_secret_is_told(sw: FakeShopware, opened: Opener) -> None:
    with pytest.raises(Unusable, match=r"401 \(Client authentication failed\)"):
        await away(opened("shopware", sw, secret="other").check)
