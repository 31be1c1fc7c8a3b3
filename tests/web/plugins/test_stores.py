"""Stores' pages: an account's shops, their credentials that nobody sees again, checks, notes, and files for shops."""

from __future__ import annotations

import html
import io
import json
import re
import zipfile
from typing import Any

import pytest

from postmeter import Core, Fetched, FetchError, Page, hookimpl
from postmeter.store import audit, plugin_steps
from postmeter.store.secrets import NewPassword
from postmeter_stores import pages
from postmeter_stores.plugin import StoresPlugin
from postmeter_stores.queue import BY_HAND
from postmeter_stores.settings import Settings
from postmeter_stores.tables import NoteRow, ShopRow
from support.panel import NOW, OTHER, OWNER, Browser, House

ALL, URL = "/accounts/shop/stores/", "https://shop.example"
KEYS = {"credential_key": "ck_very-secret", "credential_secret": "cs_very-secret"}
HOSTILE = "<script>alert(1)</script>"


class Played(StoresPlugin):
    """The plugin, whose shops are played by ``answer``."""

    __module__ = StoresPlugin.__module__  # where its translations are

    def __init__(self) -> None:
        super().__init__()
        self.answer: Fetched | FetchError = Fetched(200, {}, b"[]")
        self.asked: list[str] = []

    @hookimpl
    def pages(self) -> list[Page]:
        return list(pages.pages(self._core, self.fetch))

    def fetch(self, method: str, url: str, **options: Any) -> Fetched:
        self.asked.append(url)
        if isinstance(self.answer, FetchError):
            raise self.answer
        return self.answer


class Street:
    """The plugin in the house's panel: shop and forum have a connection each."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.plugin = Played()
        plugin_steps.migrate(house.store, {"stores": StoresPlugin().migrations()})
        self.own, self.foreign = house.connection("shop", "Web shop"), house.connection("forum", "Secret forum")
        self.app = house.app(own_settings={"stores": Settings()}, stores=self.plugin)
        self.core = Core("stores", house.settings, Settings(), house.store.lend("s"), house.secrets, lambda: house.now)

    def visit(self, email: str = OWNER) -> Browser:
        """Somebody who is logged in."""
        browser = Browser(self.app)
        assert browser.log_in(email).status_code == 302
        return browser

    def connect(self, connection: int, account: str = "shop", email: str = OWNER, **fields: str) -> str:
        """Connect WooCommerce; the answer's page."""
        where = f"/accounts/{account}/stores/{connection}/connect/woocommerce"
        return self.visit(email).post(where, where, **{"url": URL, **KEYS, **fields}).text

    def shop(self, connection: int) -> ShopRow | None:
        """The shop of a connection."""
        with self.house.store.read() as session:
            return session.get(ShopRow, connection)

    def note(self, connection: int, **values: Any) -> None:
        """A note for that shop."""
        usual = {"message_id": "M1", "recipient": "joe@example.org", "kind": "bounced", "at": NOW, "reply": "550"}
        more = {"reference": "order:7", "next_at": NOW, "created_at": NOW}
        with self.house.store.write() as session:
            session.add(NoteRow(connection_id=connection, **{**usual, **more, **values}))


@pytest.fixture
def street(house: House) -> Street:
    """No shop is connected."""
    return Street(house)


def changes(house: House) -> list[tuple[str, str, int | None]]:
    return [(one.action, one.subject, one.account_id) for one in house.changes()]


def words(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def test_a_shop_is_connected_and_its_credentials_are_never_shown(street: Street, house: House) -> None:
    street.connect(street.own, pattern=r"Order #(\d+)", deliveries="y")
    shop = street.shop(street.own)
    assert shop is not None
    assert (shop.kind, shop.url, shop.deliveries, shop.account_id) == ("woocommerce", URL, True, house.ids["shop"])
    assert json.loads(street.core.unseal(shop.credentials)) == {"key": "ck_very-secret", "secret": "cs_very-secret"}
    owner = street.visit()
    for path in (ALL, f"{ALL}{street.own}/", f"{ALL}{street.own}/connect/woocommerce"):
        assert "very-secret" not in owner.get(path).text
    assert changes(house) == [("store.connect", URL, house.ids["shop"])]
    with house.store.read() as session:
        assert "very-secret" not in str(list(audit.entries(session)))


def test_the_way_to_the_form_leads_over_connection_and_kind(street: Street) -> None:
    owner = street.visit()
    answer = owner.get(f"{ALL}?connection={street.own}&kind=magento")
    assert answer.headers["Location"] == f"{ALL}{street.own}/connect/magento"
    page = owner.get(answer.headers["Location"]).text
    assert re.findall(r'name="credential_(\w+)"', page) == ["token", "key", "secret", "token_secret"]
    assert owner.get(f"{ALL}?connection={street.foreign}&kind=magento").status_code == 200


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"url": "http://shop.example"}, "shop.example would be asked in clear text; only https is allowed"),
        ({"url": "https://10.0.0.1"}, "10.0.0.1 is not a public address, so nothing is sent there"),
        ({"credential_secret": ""}, "This field is required."),
        ({"credential_key": "ключ"}, "There are characters in it that no log-in has."),
        ({"pattern": "Order #"}, "This pattern cannot be used: the pattern 'Order #' must have one group"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(street: Street, fields: dict[str, str], said: str) -> None:
    page = street.connect(street.own, **fields)
    assert said in words(page)
    assert "very-secret" not in page
    assert street.shop(street.own) is None


def test_credentials_stay_when_they_are_left_out_but_never_go_to_another_address(street: Street) -> None:
    street.connect(street.own)
    before, nothing = street.shop(street.own), {"credential_key": "", "credential_secret": ""}
    street.connect(street.own, deliveries="y", **nothing)
    after = street.shop(street.own)
    assert before
    assert after
    assert (before.credentials, True) == (after.credentials, after.deliveries)
    assert "Please enter these as well: Consumer secret" in street.connect(street.own, credential_secret="")
    page = street.connect(street.own, url="https://thief.example", **nothing)
    assert "For another address, please enter the credentials once more." in page
    assert (after := street.shop(street.own))
    assert after.url == URL


def test_a_check_says_what_the_shop_says(street: Street, house: House) -> None:
    street.connect(street.own)
    owner, page = street.visit(), f"{ALL}{street.own}/"
    street.plugin.answer = Fetched(401, {}, json.dumps({"message": HOSTILE}).encode())
    owner.post(f"{page}check", page)
    text = owner.get(page).text
    assert f"the shop refuses the log-in or the permission: 401 ({HOSTILE})" in words(text)
    assert HOSTILE not in text
    street.plugin.answer = FetchError("no address")
    owner.post(f"{page}check", page)
    assert "no address" in owner.get(page).text
    assert all(url.startswith(URL) for url in street.plugin.asked)
    assert [action for action, *_ in changes(house)] == ["store.check", "store.check", "store.connect"]


def test_a_shop_that_works_is_written_to_again_unless_somebody_has_paused_it(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    street.connect(street.own)
    monkeypatch.setattr("postmeter_stores.pages.desk.trouble", lambda *_: "")
    owner, page = street.visit(), f"{ALL}{street.own}/"
    for paused, after in (("refused", ""), (BY_HAND, BY_HAND)):
        with street.house.store.write() as session:
            session.get_one(ShopRow, street.own).paused = paused
        owner.post(f"{page}check", page)
        assert "The shop takes the log-in, and notes may be written." in owner.get(page).text
        assert (shop := street.shop(street.own))
        assert shop.paused == after


def test_a_shop_is_paused_goes_on_and_is_forgotten(street: Street, house: House) -> None:
    street.connect(street.own)
    street.note(street.own)
    owner, page = street.visit(), f"{ALL}{street.own}/"
    owner.post(f"{page}pause", page)
    assert "State paused by hand" in words(owner.get(page).text)
    owner.post(f"{page}resume", page)
    assert "State works" in words(owner.get(page).text)
    owner.post(f"{page}remove", page)
    assert street.shop(street.own) is None
    assert owner.get(page).status_code == 404
    actions = [action for action, *_ in changes(house)]
    assert actions == ["store.remove", "store.resume", "store.pause", "store.connect"]


def test_notes_are_listed_with_what_came_of_them(street: Street) -> None:
    street.connect(street.own)
    street.note(street.own, state="written", ended_at=NOW, number="7")
    street.note(street.own, message_id="M2", state="rejected", said=HOSTILE, recipient=f"{HOSTILE}@example.org")
    page = street.visit().get(f"{ALL}{street.own}/").text
    assert "joe@example.org M1 bounced 7 written" in words(page)
    assert f"M2 bounced order:7 refused {HOSTILE}" in words(page)
    assert HOSTILE not in page


def test_a_foreign_shop_does_not_exist(street: Street) -> None:
    street.connect(street.own)
    street.connect(street.foreign, "forum", OTHER)
    street.note(street.foreign, said="forum-secret")
    owner = street.visit()
    missing = owner.get(f"{ALL}99/").text
    for path in (f"{ALL}{street.foreign}/", f"{ALL}{street.foreign}/connect/woocommerce", f"{ALL}files/nothing.zip"):
        answer = owner.get(path)
        assert (answer.status_code, answer.text) == (404, missing)
    for verb in ("check", "pause", "resume", "remove", "connect/woocommerce"):
        assert owner.post(f"{ALL}{street.foreign}/{verb}", f"{ALL}{street.own}/", url=URL, **KEYS).status_code == 404
    assert "Secret forum" not in owner.get(ALL).text
    assert (shop := street.shop(street.foreign))
    assert shop.paused == ""
    assert street.plugin.asked == []


def test_who_only_looks_or_pays_has_no_shops(street: Street, house: House, password: NewPassword) -> None:
    for role in ("viewer", "billing"):
        browser = street.visit(house.member("shop", f"{role}@shop.example", role, password))
        assert browser.get(ALL).status_code == 403


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("woocommerce", ["postmeter-reference.php"]),
        ("shopware", ["PostmeterReference/composer.json", "PostmeterReference/src/PostmeterReference.php"]),
    ],
)
def test_the_files_for_a_shop_are_an_archive(street: Street, kind: str, names: list[str]) -> None:
    answer = street.visit().get(f"{ALL}files/{kind}.zip")
    assert answer.headers["Content-Disposition"] == f"attachment; filename=postmeter-{kind}.zip"
    archive = zipfile.ZipFile(io.BytesIO(answer.data))
    assert archive.testzip() is None
    assert set(names) <= set(archive.namelist())


def test_an_account_without_connections_is_told_what_comes_first(house: House) -> None:
    plugin_steps.migrate(house.store, {"stores": StoresPlugin().migrations()})
    browser = Browser(house.app(own_settings={"stores": Settings()}, stores=Played()))
    browser.log_in(OWNER)
    assert "There is no connection yet." in browser.get(ALL).text
    assert "Es gibt noch keine Verbindung." in browser.get(ALL, **{"Accept-Language": "de"}).text
