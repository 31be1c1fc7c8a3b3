"""The main ways of an operator and a customer, in a real browser against the whole relay."""

from __future__ import annotations

import email
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage

import pyotp
import pytest
from playwright.sync_api import Page, expect

from postmeter.delivery.signing import KEYS_REMEMBERED
from postmeter.testing.running import Shop
from postmeter.testing.waiting import wait_until
from support.foreign import need_program
from support.mail_sink import Received
from support.relay import Access
from support.stage import Stage, beside, log_in, number

VISIBLE = 5.0  # seconds within which a figure is right
CHOSEN = "tannengruen und blau"
DELIVERY = 20.0  # seconds; several busy machines share their cores

pytestmark = pytest.mark.timeout(240)


@dataclass(frozen=True)
class Owner:
    """The owner of the account shop, who sends already."""

    email: str
    password: str
    shop: Shop


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The relay, with nobody in it but the first operator."""
    need_program("chromium")
    made = Stage(tmp_path_factory.mktemp("stage"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def owner(stage: Stage) -> Owner:
    """An account with an agreement, a domain whose records are published, and a connection."""
    made = stage.relay.cli("account", "add", "shop", "--owner", "owner@shop.example", "--agreement")
    help_page = ["--list-help", "https://shop.example/help"]
    for record in stage.relay.cli("domain", "add", "shop", "shop.example", *help_page)["records"]:
        stage.publish(record["name"], record["value"])
    stage.relay.cli("domain", "check", "shop.example")
    access = stage.relay.cli("connection", "add", "shop", "web shop", "--domain", "shop.example")
    return Owner(made["owner"], made["password"], Shop(stage.relay, Access(**access, records={})))


def arrived(stage: Stage, address: str) -> Received:
    """The first mail to an address, as soon as it is there."""
    received: Received = wait_until(lambda: stage.sink.to(address), DELIVERY, f"mail to {address}")[0]
    return received


def parsed(mail: Received) -> EmailMessage:
    return email.message_from_bytes(mail.content, policy=policy.default)  # type: ignore[return-value]


def test_the_first_operator_logs_in_changes_the_password_and_sets_up_a_second_factor(stage: Stage) -> None:
    said = re.search(r"first operator of the panel: (\S+) with password (\S+)", stage.relay.out())
    assert said

    def go() -> None:
        with stage.person(said[1], said[2]) as page:
            secret = _change_password_and_set_up(page, said[2])
            page.get_by_text(said[1]).first.click()
            page.get_by_role("button", name="Log out").click()
            log_in(page, said[1], CHOSEN)
            page.get_by_label("Code").fill(pyotp.TOTP(secret).at(time.time() + 30))  # that of now is used up
            page.get_by_role("button", name="Log in", exact=True).click()
            expect(page.get_by_role("heading", name="All accounts")).to_be_visible()

    stage.play(go)


def _change_password_and_set_up(page: Page, password: str) -> str:
    """The secret of the app."""
    page.goto("/me/")
    page.get_by_role("link", name="Change the password").click()
    page.get_by_label("Present password").fill(password)
    page.get_by_label("New password").fill(CHOSEN)
    page.get_by_role("button", name="Change the password").click()
    page.get_by_role("link", name="Set it up").click()
    secret = page.locator(".copied code").inner_text().replace(" ", "")
    page.get_by_label("Code from the app").fill(pyotp.TOTP(secret).now())
    page.get_by_label("Your password").fill(CHOSEN)
    page.get_by_role("button", name="Turn it on").click()
    expect(page.locator(".codes li")).to_have_count(10)
    page.get_by_role("link", name="I have kept them").click()
    return secret


def test_an_operator_creates_an_account_and_its_owner_logs_in(stage: Stage) -> None:
    operator = stage.relay.cli("user", "add", "second@relay.example", "--operator")

    def go() -> None:
        with stage.person("second@relay.example", operator["password"]) as page:
            page.get_by_role("link", name="Accounts", exact=True).click()
            page.get_by_role("link", name="New account").click()
            page.get_by_label("Name of the account").fill("Lindenhof")
            page.get_by_label("E-mail address of the owner").fill("owner@lindenhof.example")
            page.get_by_role("button", name="Create the account").click()
            password = beside(page, "Password").locator("code").inner_text()
        with stage.person("owner@lindenhof.example", password) as page:
            expect(page.get_by_text("No system is connected yet")).to_be_visible()
            _connect(stage, page)

    stage.play(go)


def _connect(stage: Stage, page: Page) -> None:
    """From nothing to a test mail that is delivered."""
    page.get_by_role("link", name="Connect a system").click()
    page.get_by_label("Name").fill("Booking system")
    page.get_by_label("System").select_option("swaks (to try it)")
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("New domain").fill("lindenhof.example")
    page.get_by_label("Help for recipients").fill("mailto:help@lindenhof.example")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Waiting for DNS")).to_be_visible()
    page.evaluate("window.same = true")
    for record in page.locator(".record").all():
        name, value = (record.locator(".copied code").nth(n).inner_text() for n in (0, 1))
        stage.publish(name, value)
    to_the_data = page.get_by_role("link", name="To the access data")
    expect(to_the_data).to_be_visible(timeout=30_000)
    assert page.evaluate("window.same"), "the page was loaded anew"
    to_the_data.click()
    page.get_by_role("button", name="Show the password once").click()
    expect(page.get_by_text("The password is shown only now.")).to_be_visible()
    _send_by_the_card(stage, page.locator(".snippet code").inner_text(), "guest@kunde.example")
    _follow_a_test_mail(page)


def _send_by_the_card(stage: Stage, snippet: str, to: str) -> None:
    """Run what the card shows, as it stands there."""
    need_program("swaks")
    command = f"{snippet.replace('you@example.org', to)} --tls-verify --tls-ca-path {stage.relay.certificate}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    mail = parsed(arrived(stage, to))
    assert mail["List-Help"] == "<mailto:help@lindenhof.example>"
    assert "d=lindenhof.example" in mail["DKIM-Signature"]


def _follow_a_test_mail(page: Page) -> None:
    page.get_by_role("link", name="Send a test mail").click()
    page.get_by_label("Recipient").fill("trial@kunde.example")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#way")).to_contain_text("delivered", timeout=DELIVERY * 1000)
    page.get_by_role("link", name="To the connection").last.click()
    expect(page.get_by_text("shown once,")).to_be_visible()


def test_the_figures_change_within_seconds_and_without_a_reload(stage: Stage, owner: Owner) -> None:
    def go() -> None:
        with stage.person(owner.email, owner.password) as page:
            page.evaluate("window.same = true")
            delivered = beside(page, "Delivered")
            for n in range(3):
                before = number(delivered)
                owner.shop.send(f"live-{n}@kunde.example")
                arrived(stage, f"live-{n}@kunde.example")
                begin = time.monotonic()
                expect(delivered).to_have_text(f"{before + 1:,}", timeout=VISIBLE * 1000)
                assert time.monotonic() - begin < VISIBLE
            assert page.evaluate("window.same"), "the page was loaded anew"

    stage.play(go)


def test_a_block_is_booked_once_though_the_button_is_pressed_twice(stage: Stage, owner: Owner) -> None:
    def go() -> None:
        with stage.person(owner.email, owner.password) as page:
            page.get_by_role("link", name="Quota", exact=True).first.click()
            page.get_by_role("link", name="To the invoices and their address").click()
            _enter_the_address(page)
            page.get_by_role("link", name="Quota", exact=True).first.click()
            page.get_by_role("link", name="Book a block").first.click()
            page.get_by_role("button", name="Continue").click()
            expect(page.get_by_text("€23.75")).to_be_visible()
            page.get_by_role("button", name="Book with obligation to pay").dblclick()
            page.wait_for_url("**/quota/")
            expect(page.get_by_role("status").filter(has_text="booked")).to_be_visible()

    stage.play(go)
    blocks = stage.relay.cli("quota", "show", "shop")["blocks"]
    assert [block["size"] for block in blocks if block["kind"] == "paid"] == [25_000]


def _enter_the_address(page: Page) -> None:
    page.get_by_role("link", name="Enter the address").click()
    for label, text in (
        ("Company or person", "Gasthof Lindenhof OHG"),
        ("Street and house number", "Dorfstraße 3"),
        ("Postcode", "87561"),
        ("City", "Oberstdorf"),
    ):
        page.get_by_label(label).fill(text)
    page.get_by_role("button", name="Save").click()


def test_a_bounced_mail_is_found_and_says_why(stage: Stage, owner: Owner) -> None:
    owner.shop.send("unknown-7@kunde.example")
    wait_until(lambda: stage.relay.stats()["bounced"], DELIVERY, "the bounce")

    def go() -> None:
        with stage.person(owner.email, owner.password) as page:
            page.get_by_role("link", name="Messages", exact=True).click()
            page.get_by_label("State").select_option("bounced")
            page.get_by_role("button", name="Search").click()
            expect(page.get_by_role("link", name="unknown-7@kunde.example")).to_be_visible()
            page.get_by_label("State").select_option("All states")
            page.get_by_label("Find", exact=True).fill("unknown-7@kunde.example")
            page.get_by_role("button", name="Search").click()
            page.get_by_role("link", name="unknown-7@kunde.example").click()
            expect(page.locator("#recipients")).to_contain_text("There is no such mailbox.")
            expect(page.locator("#timeline")).to_contain_text("550 5.1.1 No such user")
            page.get_by_text("Details and SMTP dialogue").click()
            expect(page.locator("#timeline .pairs").first).to_contain_text("TLSv1.3")
            expect(page.locator(".dialogue")).to_contain_text("RCPT TO:<unknown-7@kunde.example>")

    stage.play(go)


def test_a_key_is_replaced_and_the_next_mail_is_signed_with_the_new_one(stage: Stage, owner: Owner) -> None:
    def go() -> None:
        with stage.person(owner.email, owner.password) as page:
            page.get_by_role("link", name="Domains", exact=True).click()
            page.get_by_role("link", name="shop.example", exact=True).click()
            page.get_by_role("button", name="Replace the RSA key").click()
            name, value = (page.locator("#keys .record .copied code").nth(n).inner_text() for n in (0, 1))
            stage.publish(name, value)
            page.get_by_role("button", name="Sign with it now").click(timeout=30_000)  # comes without a reload
            expect(page.get_by_text("The new key signs from now on.")).to_be_visible()
        time.sleep(KEYS_REMEMBERED + 0.1)
        owner.shop.send("new-key@kunde.example")
        selector = name.partition("._domainkey.")[0]
        assert f"s={selector};" in str(parsed(arrived(stage, "new-key@kunde.example"))["DKIM-Signature"])

    stage.play(go)


def test_a_viewer_is_invited_by_mail_and_can_change_nothing(stage: Stage, owner: Owner) -> None:
    def go() -> None:
        with stage.person(owner.email, owner.password) as page:
            page.get_by_role("link", name="Team", exact=True).click()
            page.get_by_label("E-mail address").fill("viewer@kunde.example")
            page.get_by_label("Role", exact=True).select_option("Viewer")
            page.get_by_role("button", name="Send the invitation").click()
            expect(page.get_by_text("viewer@kunde.example is invited.")).to_be_visible()
        link = re.search(r"http://\S+/join/\S+", parsed(arrived(stage, "viewer@kunde.example")).get_content())
        assert link
        with stage.window() as page:
            page.goto(link[0])
            page.get_by_label("New password").fill(CHOSEN)
            page.get_by_role("button", name="Join").click()
            expect(beside(page, "Arrived")).to_be_visible()
            for path in ("", "connections/", "domains/shop.example/", "suppressions/", "quota/", "settings/", "team/"):
                page.goto(f"/accounts/shop/{path}")
                expect(page.locator("main h1")).to_be_visible()
                offered = page.locator("main form[method=post]").all_inner_texts()
                assert set(offered) <= {"Export as CSV"}, path  # which is noted, and changes nothing

    stage.play(go)


PAGES = {  # of an account: their names in both languages
    "": ("shop", "shop"),
    "messages/": ("Messages", "Mails"),
    "connections/": ("Connections", "Verbindungen"),
    "domains/": ("Domains", "Domains"),
    "suppressions/": ("Suppressions", "Gesperrte Adressen"),
    "quota/": ("Quota", "Kontingent"),
    "billing/": ("Invoices", "Rechnungen"),
    "notify/": ("Notices", "Hinweise"),
    "webhooks/": ("Webhooks", "Webhooks"),
    "stores/": ("Stores", "Shops"),
    "settings/": ("Settings", "Einstellungen"),
    "team/": ("Team", "Team"),
}


def test_all_pages_open_in_english_and_in_german(stage: Stage, owner: Owner) -> None:
    def go() -> None:
        with stage.person(owner.email, owner.password) as page:
            for n, language in enumerate(("English", "Deutsch")):
                page.get_by_role("button", name=language).click()
                for path, names in PAGES.items():
                    page.goto(f"/accounts/shop/{path}")
                    expect(page.locator("main h1")).to_have_text(names[n])
            expect(page.locator("html")).to_have_attribute("lang", "de")

    stage.play(go)
