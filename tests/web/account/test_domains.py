"""The pages about sending domains: adding one, what the DNS says, new keys, and who may do it."""

from __future__ import annotations

import html
import re

import attrs
import pytest
from flask import Flask

from postmeter.config import Smtp
from postmeter.store import audit, domains, rotation
from postmeter.store.accounts import account_by_name
from postmeter.store.domain_checks import record_check
from postmeter.store.domains import DomainFacts
from postmeter.store.secrets import NewPassword
from postmeter_web.looks import FRESH
from support.panel import NOW, OWNER, Browser, House
from support.tenants import new_key

PAGES = "/accounts/shop/domains"
SHOP = f"{PAGES}/shop.example"
HELP = "https://shop.example/help"


@pytest.fixture
def verified(house: House) -> House:
    """The account shop has the verified domain shop.example, whose record is in the DNS."""
    with house.store.write() as session:
        account = account_by_name(session, "shop")
        added = domains.add_domain(session, house.secrets, account, "shop.example", HELP, False, [new_key()], NOW)
        record_check(session, account.id, "shop.example", [], NOW)
    record = added.records[0]
    house.dns[record.name, "TXT"] = (record.value,)
    house.now = NOW + 3_600
    return house


def shop(house: House, name: str = "shop.example") -> DomainFacts | None:
    with house.store.read() as session:
        return domains.domain_of(session, house.ids["shop"], name)


def states(house: House) -> list[str]:
    with house.store.read() as session:
        return [key.state for key in rotation.keys_of(session, house.ids["shop"], "shop.example")]


def publish_waiting(house: House) -> str:
    """Put the record of the key that waits into the DNS; its selector."""
    with house.store.read() as session:
        [key] = [one for one in rotation.keys_of(session, house.ids["shop"]) if one.state == "waiting"]
    house.dns[key.record.name, "TXT"] = (key.record.value,)
    house.now += FRESH
    return key.selector


def noted(house: House) -> list[str]:
    with house.store.read() as session:
        return [entry.action for entry in audit.entries(session, house.ids["shop"])][::-1]


def told(page: str) -> str:
    """What a page says, without its tags."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))


def test_an_account_without_a_domain_is_told_the_next_step(owner: Browser) -> None:
    page = owner.get(f"{PAGES}/").text
    assert "No domain yet" in page
    assert f'href="{PAGES}/new"' in page


def test_a_domain_is_added_with_its_key_and_shows_what_to_publish(owner: Browser, house: House) -> None:
    answer = owner.post(f"{PAGES}/new", f"{PAGES}/new", name="Shop.Example", list_help="help@shop.example")
    assert answer.headers["Location"] == f"{SHOP}/"
    page = told(owner.get(f"{SHOP}/").text)
    assert "No mail is taken from this domain until its DKIM record is found." in page
    assert "._domainkey.shop.example" in page
    assert "v=DKIM1; k=rsa; p=" in page
    assert "There is no TXT record." in page
    assert noted(house) == ["domain.add"]


@pytest.mark.parametrize(
    ("name", "list_help", "why"),
    [
        ("shop", HELP, "is not a domain name"),
        ("other.example", "http://other.example", "https"),
        ("shop.example", HELP, "has the domain shop.example already"),
    ],
)
def test_what_cannot_be_added_is_said_and_changes_nothing(
    owner: Browser, verified: House, name: str, list_help: str, why: str
) -> None:
    page = owner.post(f"{PAGES}/new", f"{PAGES}/new", name=name, list_help=list_help).text
    assert why in page
    assert noted(verified) == []
    assert shop(verified) is not None


def test_a_look_finds_the_record_and_mail_is_taken(owner: Browser, house: House) -> None:
    owner.post(f"{PAGES}/new", f"{PAGES}/new", name="shop.example", list_help=HELP)
    answer = owner.post(f"{SHOP}/look", f"{SHOP}/")
    assert answer.status_code == 302
    assert "Something is missing" in owner.get(f"{SHOP}/").text
    found = shop(house)
    assert found is not None
    house.dns[found.records[0].name, "TXT"] = (found.records[0].value,)
    house.now += 1
    owner.post(f"{SHOP}/look", f"{SHOP}/")
    assert "The records are as they should be." in owner.get(f"{SHOP}/").text
    found = shop(house)
    assert found is not None
    assert found.verified
    assert noted(house) == ["domain.add", "domain.look", "domain.look"]


def test_a_dns_without_an_answer_changes_nothing(owner: Browser, verified: House) -> None:
    for name, type in list(verified.dns):
        verified.dns[name, type] = None
    owner.post(f"{SHOP}/look", f"{SHOP}/")
    page = owner.get(f"{SHOP}/").text
    assert "The DNS gives no answer at the moment." in page
    assert "no answer" in page
    assert noted(verified) == []


def test_a_look_at_a_verified_domain_ends_nothing_at_once(owner: Browser, verified: House) -> None:
    verified.dns.clear()
    owner.post(f"{SHOP}/look", f"{SHOP}/")
    found = shop(verified)
    assert found is not None
    assert (found.verified, found.failing_since) == (True, verified.now)
    assert "failing" in owner.get(f"{PAGES}/").text


def test_a_new_key_waits_is_found_and_signs(owner: Browser, verified: House) -> None:
    owner.post(f"{SHOP}/keys/rsa", f"{SHOP}/")
    assert states(verified) == ["active", "waiting"]
    assert "waits for its record" in owner.get(f"{SHOP}/live").text
    assert "Replace the RSA key" not in owner.get(f"{SHOP}/").text
    selector = publish_waiting(verified)
    assert "Sign with it now" in owner.get(f"{SHOP}/live").text
    owner.post(f"{SHOP}/look", f"{SHOP}/")
    page = told(owner.get(f"{SHOP}/").text)
    assert "The new key signs from now on." in page
    assert "Leave its record until" in page
    assert states(verified) == ["active", "retired"]
    with verified.store.read() as session:
        assert rotation.keys_of(session, verified.ids["shop"])[0].selector == selector
    assert noted(verified) == ["key.rotate", "domain.look"]


def test_a_new_key_can_be_forgotten(owner: Browser, verified: House) -> None:
    owner.post(f"{SHOP}/keys/ed25519", f"{SHOP}/")
    owner.post(f"{SHOP}/keys/ed25519", f"{SHOP}/")
    assert "waits for its record already" in told(owner.get(f"{SHOP}/").text)
    selector = publish_waiting(verified)
    for text in ("The new key is forgotten", "waits for its record (any more)"):
        owner.post(f"{SHOP}/keys/{selector}/cancel", f"{SHOP}/")
        assert text in told(owner.get(f"{SHOP}/").text)
    assert states(verified) == ["active"]
    assert noted(verified) == ["key.rotate", "key.cancel"]


def test_no_page_shows_a_private_key(owner: Browser, verified: House) -> None:
    owner.post(f"{SHOP}/keys/rsa", f"{SHOP}/")
    for path in (f"{PAGES}/", f"{SHOP}/", f"{SHOP}/live"):
        assert "PRIVATE" not in owner.get(path).text


def test_list_help_can_be_changed(owner: Browser, verified: House) -> None:
    owner.post(f"{SHOP}/list-help", f"{SHOP}/", list_help="help@shop.example")
    found = shop(verified)
    assert found is not None
    assert found.list_help == "<mailto:help@shop.example>"
    owner.post(f"{SHOP}/list-help", f"{SHOP}/", list_help="http://shop.example")
    assert "https" in owner.get(f"{SHOP}/").text
    assert noted(verified) == ["domain.list_help"]


def test_only_a_domain_that_no_connection_uses_can_be_removed(owner: Browser, verified: House) -> None:
    verified.connection("shop", "Web shop")  # with shop.example
    owner.post(f"{SHOP}/remove", f"{SHOP}/")
    assert "is used by: Web shop" in told(owner.get(f"{SHOP}/").text)
    owner.post(f"{PAGES}/new", f"{PAGES}/new", name="two.example", list_help=HELP)
    assert "Remove the domain" in owner.get(f"{PAGES}/two.example/").text
    owner.post(f"{PAGES}/two.example/remove", f"{PAGES}/two.example/")
    assert shop(verified, "two.example") is None
    assert owner.get(f"{PAGES}/two.example/").status_code == 404


def test_advice_names_the_relay(owner: Browser, verified: House) -> None:
    verified.dns["shop.example", "TXT"] = ("v=spf1 mx -all",)
    page = told(owner.get(f"{SHOP}/").text)
    assert "v=spf1 mx a:mail.example.net -all" in page
    assert "v=DMARC1; p=none; rua=mailto:dmarc@shop.example" in page


def test_what_the_dns_says_is_hostile(owner: Browser, verified: House) -> None:
    for name in (*[name for name, _ in verified.dns], "shop.example", "_dmarc.shop.example"):
        verified.dns[name, "TXT"] = ("<script>alert(1)</script>", "v=spf1 <script>", "v=DMARC1; <script>")
    assert "<script>alert" not in owner.get(f"{SHOP}/").text
    assert "v=DMARC1; <script>" not in owner.get(f"{SHOP}/live").text


def test_a_viewer_sees_and_changes_nothing(app: Flask, verified: House, password: NewPassword) -> None:
    viewer = Browser(app)
    viewer.log_in(verified.member("shop", "viewer@shop.example", "viewer", password))
    page = viewer.get(f"{SHOP}/").text
    assert "Look now" not in page
    assert "Replace the RSA key" not in page
    for path in ("look", "list-help", "keys/rsa", "keys/pm1/cancel", "remove"):
        assert viewer.post(f"{SHOP}/{path}", f"{SHOP}/").status_code == 403
    assert viewer.get(f"{PAGES}/new").status_code == 403
    assert noted(verified) == []


def test_anothers_domain_does_not_exist(app: Flask, verified: House) -> None:
    other = Browser(app)
    other.log_in("owner@forum.example")
    forum = "/accounts/forum/domains"
    assert other.get(f"{SHOP}/").status_code == 404
    assert other.get(f"{forum}/shop.example/").status_code == 404
    for path in ("look", "list-help", "keys/rsa", "keys/pm1/cancel", "remove"):
        assert other.post(f"{forum}/shop.example/{path}", f"{forum}/new").status_code == 404


BOUNCE = "bounce.shop.example"


@pytest.fixture
def reading_bounces(verified: House) -> House:
    """The relay listens for bounces, and has a domain for them."""
    smtp = Smtp(reports=("127.0.0.1:25",), return_path="bounce.relay.example")
    verified.settings = attrs.evolve(verified.settings, smtp=smtp)
    return verified


def as_owner(house: House) -> Browser:
    browser = Browser(house.app())
    browser.log_in(OWNER)
    return browser


def test_without_a_port_for_bounces_nothing_is_said_of_return_paths(verified: House) -> None:
    assert "return-path" not in as_owner(verified).get(f"{SHOP}/").text


def test_a_return_path_is_used_once_its_record_is_there(reading_bounces: House) -> None:
    house, owner = reading_bounces, as_owner(reading_bounces)
    owner.post(f"{SHOP}/return-path", f"{SHOP}/", return_path=BOUNCE)
    page = owner.get(f"{SHOP}/").text
    assert "CNAME" in page
    assert f"{BOUNCE}: There is no MX record." in page
    facts = shop(house)
    assert facts is not None
    assert (facts.return_path, facts.returns) == (BOUNCE, False)
    house.dns[BOUNCE, "MX"] = ("10 mail.example.net.",)
    house.now += FRESH
    owner.post(f"{SHOP}/look", f"{SHOP}/")
    facts = shop(house)
    assert facts is not None
    assert facts.returns
    assert "domain.return_path" in noted(house)


def test_while_the_dns_is_silent_a_return_path_stays_as_it_is(reading_bounces: House) -> None:
    house, owner = reading_bounces, as_owner(reading_bounces)
    owner.post(f"{SHOP}/return-path", f"{SHOP}/", return_path=BOUNCE)
    house.dns[BOUNCE, "MX"] = None
    house.now += FRESH
    owner.post(f"{SHOP}/look", f"{SHOP}/")
    facts = shop(house)
    assert facts is not None
    assert not facts.returns
    assert "no answer" in owner.get(f"{SHOP}/").text


def test_a_return_path_elsewhere_is_refused_and_none_is_the_relays(reading_bounces: House) -> None:
    owner = as_owner(reading_bounces)
    owner.post(f"{SHOP}/return-path", f"{SHOP}/", return_path="bounce.other.example")
    assert "must be a name below shop.example" in owner.get(f"{SHOP}/").text
    owner.post(f"{SHOP}/return-path", f"{SHOP}/", return_path="")
    assert "relay&#39;s own domain." in owner.get(f"{SHOP}/").text


def test_where_bounces_come_to_the_relay_no_spf_record_is_asked_of_the_domain(reading_bounces: House) -> None:
    page = as_owner(reading_bounces).get(f"{SHOP}/").text
    assert "v=spf1" not in page
    assert "v=DMARC1" in page
