"""`postmeter store`: what is connected, tried, shown and forgotten, and that no credential is ever printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import pytest_twisted
from click.testing import CliRunner, Result

from plugins.stores.bench import Bench
from plugins.stores.conftest import CREDENTIALS
from plugins.stores.fakes.base import Answer, away
from plugins.stores.fakes.magento import FakeMagento
from plugins.stores.fakes.shopware import FakeShopware
from plugins.stores.fakes.woocommerce import SECRET, FakeWooCommerce
from postmeter import PostmeterError, UnreachableError, UsageError
from postmeter.console import Opener
from postmeter_stores.commands import store
from postmeter_stores.writer import AGAIN, FIRST_PAUSE
from support.command import Cli, printed, told, with_account
from support.relay import free_port

WOO = ("acme", "shop", "woocommerce", "--url", "https://shop.example")


def error(bench: Bench, kind: type[PostmeterError], *arguments: str) -> str:
    """The sentence that a command ends with."""
    with pytest.raises(kind) as caught:
        bench.run(*arguments)
    return str(caught.value)


def data(result: Result) -> object:
    """What is printed as JSON."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_what_is_connected_is_shown_without_its_credentials(bench: Bench, woo: FakeWooCommerce) -> None:
    assert bench.run("show", "acme").stdout == "No shop is connected.\n"
    bench.connect("woocommerce", woo, "--pattern", r"#(\d+)", "--deliveries")
    bench.happen()
    assert data(bench.run("show", "acme", "--json")) == [
        {
            "connection": "shop",
            "kind": "woocommerce",
            "url": woo.base,
            "pattern": r"#(\d+)",
            "deliveries": True,
            "paused": "",
            "trouble": "",
            "retry_at": None,
            "waiting": 1,
        }
    ]
    _, row = bench.run("show", "acme").stdout.splitlines()
    assert row.split()[:5] == ["shop", "WooCommerce", woo.base, r"#(\d+)", "bounces,"]


def test_credentials_are_sealed_and_never_printed(bench: Bench, woo: FakeWooCommerce) -> None:
    bench.connect("woocommerce", woo)
    assert SECRET.encode() not in bench.shop.credentials
    assert json.loads(bench.core.unseal(bench.shop.credentials)) == CREDENTIALS["woocommerce"]
    for command in (["show", "acme"], ["show", "acme", "--json"], ["queue", "acme"]):
        assert SECRET not in bench.run(*command).output


def test_credentials_are_asked_for_unseen(lite: Bench) -> None:
    result = CliRunner().invoke(store, ["connect", *WOO], obj=Opener(lambda: lite.core), input="ck_1\ncs_2\n")
    assert result.exit_code == 0, result.output
    assert "WooCommerce: consumer key" in result.output
    assert "cs_2" not in result.output
    assert json.loads(lite.core.unseal(lite.shop.credentials)) == {"key": "ck_1", "secret": "cs_2"}


def test_credentials_are_taken_from_the_environment(lite: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_KEY", "ck_1")
    monkeypatch.setenv("STORE_SECRET", "cs_2")
    assert lite.run("connect", *WOO).exit_code == 0
    assert json.loads(lite.core.unseal(lite.shop.credentials)) == {"key": "ck_1", "secret": "cs_2"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["connect", "nobody", *WOO[1:], "--key", "k", "--secret", "s"], "there is no account 'nobody'"),
        (["connect", "acme", "x", *WOO[2:], "--key", "k", "--secret", "s"], "has no connection 'x'"),
        (["connect", *WOO, "--key", "k", "--secret", "s", "--token", "t"], "WooCommerce has no --token"),
        (["connect", *WOO, "--key", "k\x07", "--secret", "s"], "--key has characters that no log-in has"),
        (["connect", *WOO, "--key", "k", "--secret", "s", "--pattern", "(a+"], "cannot be used: missing"),
        (
            ["connect", "acme", "shop", "magento", "--url", "https://m.example", "--token", "t", "--key", "k"],
            "Magento needs --secret (consumer secret), --token-secret (access token secret)",
        ),
        (["connect", "acme", "shop", "magento", "--url", "x", "--token", "t"], "'x' is not a URL such as"),
        (["test", "acme", "shop"], "the connection 'shop' has no shop"),
        (["disconnect", "acme", "shop"], "the connection 'shop' has no shop"),
        (["show", "nobody"], "there is no account 'nobody'"),
        (["queue", "nobody"], "there is no account 'nobody'"),
    ],
)
def test_wrong_input_is_told_in_a_sentence(lite: Bench, arguments: list[str], said: str) -> None:
    assert said in error(lite, UsageError, *arguments)


@pytest_twisted.ensureDeferred
async def test_a_test_says_that_it_works_and_lets_the_paused_go_on(bench: Bench, woo: FakeWooCommerce) -> None:
    bench.connect("woocommerce", woo)
    bench.happen()
    woo.writable = False
    for _ in range(12):
        await bench.write(bench.own.pause_hours * 3600.0)
    assert "does not have write permissions" in bench.shop.paused
    assert "paused: the shop refuses" in bench.run("show", "acme").stdout
    said = await away(error, bench, UnreachableError, "test", "acme", "shop")
    assert said.startswith(
        f"WooCommerce at {woo.base}: the shop refuses the log-in or the permission: 401 (The API key"
    )
    assert said.endswith("a key with Read/Write of a user who may edit orders")
    woo.writable = True
    result = await away(bench.run, "test", "acme", "shop")
    assert result.stdout == f"WooCommerce at {woo.base} takes the log-in, and notes may be written.\n"
    await bench.write()
    assert (bench.shop.paused, len(woo.texts(1234))) == ("", 1)


@pytest_twisted.ensureDeferred
async def test_a_test_says_what_is_wrong_in_plain_words(lite: Bench, mage: FakeMagento) -> None:
    lite.connect("magento", mage)
    assert data(await away(lite.run, "test", "acme", "shop", "--json")) == {"connection": "shop", "works": True}
    mage.trouble = [Answer(200, [1])]
    assert "answers, but not as Magento does" in await away(error, lite, UnreachableError, "test", "acme", "shop")
    mage.trouble = [Answer(404, "<html>")]
    assert "no such API at this address: 404" in await away(error, lite, UnreachableError, "test", "acme", "shop")
    mage.base = f"http://127.0.0.1:{free_port()}"
    lite.connect("magento", mage)
    assert "cannot be reached" in await away(error, lite, UnreachableError, "test", "acme", "shop")


@pytest_twisted.ensureDeferred
async def test_a_number_beyond_all_numbers_is_told_in_plain_words(lite: Bench, sw: FakeShopware) -> None:
    lite.connect("shopware", sw)
    sw.trouble = [Answer(200, {"access_token": "x", "expires_in": 10**400})]
    assert "answers, but not as Shopware does" in await away(error, lite, UnreachableError, "test", "acme", "shop")


@pytest_twisted.ensureDeferred
async def test_the_queue_says_what_waits_and_why_and_what_came_to_nothing(bench: Bench, woo: FakeWooCommerce) -> None:
    bench.connect("woocommerce", woo)
    assert bench.run("queue", "acme").stdout == "No note waits.\n"
    assert bench.run("queue", "acme", "--ended").stdout == "No note has come to nothing.\n"
    event = bench.happen(reference="order:99")
    woo.trouble = [Answer(500, {"message": "oh"})]
    await bench.write()
    assert data(bench.run("queue", "acme", "--json")) == [
        {
            "connection": "shop",
            "message_id": event.message_id,
            "recipient": "joe@example.org",
            "kind": "bounced",
            "reference": "order:99",
            "state": "waiting",
            "attempts": 1,
            "next_at": "2027-01-15T08:00:30Z",
            "said": "the shop has trouble: 500 (oh)",
        }
    ]
    assert "the shop has trouble: 500 (oh)" in bench.run("queue", "acme").stdout
    for after in (FIRST_PAUSE, *AGAIN):
        await bench.write(after)
    assert bench.run("queue", "acme").stdout == "No note waits.\n"
    assert "there is no order 99" in bench.run("queue", "acme", "--ended").stdout


@pytest_twisted.ensureDeferred
async def test_what_is_disconnected_is_forgotten(bench: Bench, woo: FakeWooCommerce) -> None:
    bench.connect("woocommerce", woo)
    bench.happen()
    assert data(bench.run("disconnect", "acme", "shop", "--json")) == {"connection": "shop"}
    assert bench.notes == []
    await bench.write()
    assert woo.asked == []
    assert bench.run("show", "acme").stdout == "No shop is connected.\n"


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_command_is_there_with_the_default_settings(
    cli: Cli, data: Path, database: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database == "postgresql":
        monkeypatch.setenv("POSTMETER_STORE_URL", request.getfixturevalue("postgres_url"))
    with_account(cli, domain=True)
    printed(cli("connection", "add", "acme", "shop", "--domain", "shop.example", "--json"))
    connected = printed(cli("store", "connect", *WOO, "--key", "k", "--secret", "s", "--json"))
    assert connected == {"connection": "shop", "kind": "woocommerce", "url": "https://shop.example"}
    assert [one["connection"] for one in printed(cli("store", "show", "acme", "--json"))] == ["shop"]
    private = ["connect", *WOO[:-1], "http://127.0.0.1", "--key", "k", "--secret", "s"]
    assert "only https is allowed" in told(cli("store", *private), 2)
    printed(cli("store", "disconnect", "acme", "shop", "--json"))
