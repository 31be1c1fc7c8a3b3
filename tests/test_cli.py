"""The commands: what they create, print and look up, and how they tell what is wrong."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import dns.rcode
import pytest
from sqlalchemy import text

from postmeter.commands.connections import endpoint
from postmeter.config import Server, Settings, Smtp
from postmeter.store.accounts import authenticate
from postmeter.store.counters import Change, count
from support.command import HELP, Cli, opened, printed, told, with_account
from support.names import NameServer
from support.postage import accept, submission
from support.tenants import NOW

# What is created


def test_the_first_command_makes_data_folder_key_and_tables(cli: Cli, data: Path) -> None:
    answer = printed(cli("account", "add", "acme", "--owner", "Ann@acme.example", "--agreement", "--json"))
    assert {path.name for path in data.iterdir()} >= {"postmeter.db", "secret.key"}
    assert set(answer) == {"account", "owner", "password"}
    assert (answer["account"], answer["owner"]) == ("acme", "ann@acme.example")
    with opened(data) as store, store.read() as session:
        assert authenticate(session, "ann@acme.example", answer["password"]) is not None


def test_a_second_account_of_an_owner_shows_no_password(cli: Cli) -> None:
    with_account(cli)
    assert printed(cli("account", "add", "two", "--owner", "ann@acme.example", "--json"))["password"] is None
    assert "as before" in cli("account", "add", "three", "--owner", "ann@acme.example").stdout


def test_domain_add_prints_the_records_to_publish(cli: Cli) -> None:
    with_account(cli)
    answer = printed(cli("domain", "add", "acme", "Shop.Example", "--list-help", HELP, "--ed25519", "--json"))
    assert (answer["domain"], answer["verified"]) == ("shop.example", False)
    rsa, ed25519, dmarc = answer["records"]
    assert rsa["name"].endswith("._domainkey.shop.example")
    assert "k=rsa" in rsa["value"]
    assert "k=ed25519" in ed25519["value"]
    assert dmarc == {"name": "_dmarc.shop.example", "type": "TXT", "value": "v=DMARC1; p=none", "required": False}
    told_people = cli("domain", "add", "acme", "shop.example", "--list-help", HELP)
    assert rsa["value"] in told_people.stdout
    assert "postmeter domain check shop.example" in told_people.stdout


def test_connection_add_prints_what_a_shop_needs(cli: Cli) -> None:
    with_account(cli, domain=True)
    answer = printed(cli("connection", "add", "acme", "My shop", "--domain", "shop.example", "--json"))
    assert list(answer) == ["host", "port", "tls_port", "username", "password"]
    assert (answer["host"], answer["port"], answer["tls_port"]) == ("127.0.0.1", 2587, 2465)
    assert answer["username"].startswith("my-shop-")
    people = cli("connection", "add", "acme", "other", "--domain", "shop.example").stdout
    assert "2587 (STARTTLS)" in people
    assert "Inactive" not in people


def test_an_access_that_is_not_active_yet_says_why(cli: Cli) -> None:
    with_account(cli)
    cli("domain", "add", "acme", "shop.example", "--list-help", HELP)
    people = cli("connection", "add", "acme", "shop", "--domain", "shop.example").stdout
    assert "The DKIM record of shop.example has not been verified yet." in people


@pytest.mark.parametrize(
    ("submission", "submissions", "expected"),
    [
        (["127.0.0.1:2587"], ["127.0.0.1:2465"], ("127.0.0.1", 2587, 2465)),
        (["[::1]:2587"], [], ("::1", 2587, None)),
        (["localhost:2587"], [], ("localhost", 2587, None)),
        (["0.0.0.0:587", "[::]:587"], ["0.0.0.0:465"], ("mail.example.net", 587, 465)),
        (["192.0.2.7:587"], [], ("mail.example.net", 587, None)),
        ([], ["127.0.0.1:465"], ("127.0.0.1", None, 465)),
    ],
)
def test_a_loopback_listener_is_named_by_its_address_and_others_by_the_host_name(
    submission: list[str], submissions: list[str], expected: tuple[str, int | None, int | None]
) -> None:
    settings = Settings(
        server=Server(hostname="mail.example.net"),
        smtp=Smtp(submission=tuple(submission), submissions=tuple(submissions)),
    )
    assert endpoint(settings) == expected


def test_quota_book_and_show_print_the_same(cli: Cli) -> None:
    with_account(cli)
    booked = printed(cli("quota", "book", "acme", "50000", "--json"))
    assert booked == printed(cli("quota", "show", "acme", "--json"))
    assert list(booked) == ["left", "blocks", "overdraft", "threshold", "runs_out"]
    assert booked["left"] == 51_000
    assert [list(block) for block in booked["blocks"]] == [["kind", "size", "left", "expires", "id", "renews"]] * 2
    assert [(block["kind"], block["size"]) for block in booked["blocks"]] == [("demo", 1000), ("paid", 50_000)]
    assert booked["blocks"][1]["expires"].endswith("Z")
    assert "51,000" in cli("quota", "show", "acme").stdout


def test_stats_print_all_counters(cli: Cli, data: Path) -> None:
    with_account(cli)
    with opened(data) as store, store.write() as session:
        count(session, [Change(1, 1, NOW, "arrived", 1200), Change(1, 1, NOW, "delivered", 3)])
    assert printed(cli("stats", "acme", "--json")) == {
        "arrived": 1200,
        "delivered": 3,
        "bounced": 0,
        "queued": 1197,
        "deferred": 0,
        "suppressed": 0,
        "cancelled": 0,
        "complained": 0,
    }
    assert "Arrived     1,200\n" in cli("stats", "acme").stdout


def test_an_empty_queue_is_told(cli: Cli) -> None:
    assert cli("queue").stdout == "Nothing waits.\n"
    assert printed(cli("queue", "--json")) == {"total": 0, "states": {}, "reasons": [], "waiting": []}


def test_the_queue_can_be_of_one_account(cli: Cli, data: Path) -> None:
    with_account(cli)
    printed(cli("account", "add", "two", "--owner", "bob@two.example", "--json"))
    with opened(data) as store:
        accept(store, submission(3, at=time.time()))
    assert printed(cli("queue", "--json"))["total"] == 3
    assert printed(cli("queue", "--account", "acme", "--json"))["total"] == 3
    assert printed(cli("queue", "--account", "two", "--json"))["total"] == 0


def test_users_get_initial_and_new_passwords(cli: Cli, data: Path) -> None:
    with_account(cli)
    operator = printed(cli("user", "add", "op@relay.example", "--operator", "--json"))
    printed(cli("user", "add", "bob@acme.example", "--account", "acme", "--role", "admin", "--json"))
    changed = printed(cli("user", "password", "op@relay.example", "--json"))
    asked = cli("user", "password", "bob@acme.example", "--ask", input="twelve chars\ntwelve chars\n")
    assert asked.exit_code == 0
    with opened(data) as store, store.read() as session:
        assert authenticate(session, "op@relay.example", operator["password"]) is None
        user = authenticate(session, "op@relay.example", changed["password"])
        assert user is not None
        assert user.operator
        bob = authenticate(session, "bob@acme.example", "twelve chars")
        assert bob is not None
        assert [(role.name, role.role) for role in bob.accounts] == [("acme", "admin")]


def test_key_add_prints_the_operators_record(cli: Cli) -> None:
    answer = printed(cli("key", "add", "relay.example", "--ed25519", "--json"))
    [record] = answer["records"]
    assert record["name"].endswith("._domainkey.relay.example")
    assert record["value"].startswith("v=DKIM1; k=ed25519; p=")


def test_everything_works_on_postgresql_as_well(
    cli: Cli, data: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTMETER_STORE_URL", postgres_url)
    with_account(cli, domain=True)
    assert printed(cli("connection", "add", "acme", "shop", "--domain", "shop.example", "--json"))["port"] == 2587
    assert printed(cli("quota", "book", "acme", "25000", "--json"))["left"] == 26_000
    assert printed(cli("stats", "acme", "--json"))["arrived"] == 0
    assert [path.name for path in data.iterdir()] == ["secret.key"]


# What is looked up


def test_domain_check_verifies_a_published_key(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with_account(cli)
    records = printed(cli("domain", "add", "acme", "shop.example", "--list-help", HELP, "--json"))["records"]
    with NameServer({record["name"]: [record["value"]] for record in records}) as server:
        monkeypatch.setenv("POSTMETER_DELIVERY_RESOLVER", server.address)
        answer = printed(cli("domain", "check", "shop.example", "--json"))
    [account] = answer["accounts"]
    assert (account["account"], account["verified"], account["problems"], account["advice"]) == ("acme", True, [], [])
    connection = cli("connection", "add", "acme", "shop", "--domain", "shop.example").stdout
    assert "Inactive" not in connection


def test_domain_check_says_what_is_missing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with_account(cli)
    cli("domain", "add", "acme", "shop.example", "--list-help", HELP)
    with NameServer({}) as server:
        monkeypatch.setenv("POSTMETER_DELIVERY_RESOLVER", server.address)
        result = cli("domain", "check", "shop.example")
    assert result.exit_code == 1
    assert "shop.example of account acme: not verified" in result.stdout
    assert "There is no TXT record." in result.stdout
    assert "v=DKIM1; k=rsa; p=" in result.stdout


def test_a_dns_that_fails_changes_nothing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with_account(cli, domain=True)
    with NameServer({}, dns.rcode.REFUSED) as server:
        monkeypatch.setenv("POSTMETER_DELIVERY_RESOLVER", server.address)
        assert "the DNS gives no answer about" in told(cli("domain", "check", "shop.example"), 4)


# What goes wrong


@pytest.mark.parametrize(
    ("arguments", "exit_code", "line"),
    [
        (["stats", "nobody"], 2, "there is no account 'nobody'"),
        (["quota", "show", "nobody"], 2, "there is no account 'nobody'"),
        (["quota", "book", "acme", "1"], 2, "the smallest block has 25,000 mails, not 1"),
        (["domain", "add", "nobody", "shop.example", "--list-help", HELP], 2, "there is no account 'nobody'"),
        (["domain", "add", "acme", "shop", "--list-help", HELP], 2, "'shop' is not a domain name such as shop.example"),
        (["domain", "check", "shop.example"], 2, "no account has the domain shop.example; add it with"),
        (["connection", "add", "acme", "x", "--domain", "a.example"], 2, "the account 'acme' has no domain a.example;"),
        (["account", "add", "acme", "--owner", "a@b.example"], 2, "there is an account 'acme' already"),
        (["message", "show", "x"], 2, "there is no message x"),
        (["user", "add", "bob@acme.example"], 2, "say what the user may see: --operator or --account NAME"),
        (["user", "password", "bob@acme.example"], 2, "there is no user bob@acme.example"),
        (["queue", "--account", "nobody"], 2, "there is no account 'nobody'"),
        (["--config", "nothing.toml", "queue"], 3, "there is no configuration file nothing.toml"),
        (["queue", "--config", "nothing.toml"], 3, "there is no configuration file nothing.toml"),
        (["check", "--config", "nothing.toml"], 3, "there is no configuration file nothing.toml"),
        (["quota", "--config", "nothing.toml", "show", "acme"], 3, "there is no configuration file nothing.toml"),
    ],
)
def test_wrong_input_is_told_in_one_line(cli: Cli, arguments: list[str], exit_code: int, line: str) -> None:
    with_account(cli)
    assert told(cli(*arguments), exit_code).startswith(line)


def test_the_configuration_beside_us_is_read(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "postmeter.toml").write_text("[smtp]\nport = 25\n")
    assert told(cli("queue"), 3).startswith("unknown setting smtp.port; [smtp] has: submission, ")


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_the_configuration_may_be_named_anywhere(place: int, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "postmeter.toml").write_text("nonsense, which is not read")
    (tmp_path / "other.toml").write_text("[demo]\nsize = 7\n")
    for command in (["account", "add", "acme", "--owner", "ann@acme.example"], ["quota", "show", "acme", "--json"]):
        result = cli(*command[:place], "--config", "other.toml", *command[place:])
        assert result.exit_code == 0, result.output
    assert printed(result)["left"] == 7


def test_the_configuration_named_last_counts(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "postmeter.toml").write_text("[nonsense]")
    (tmp_path / "other.toml").write_text("")
    assert cli("--config", "postmeter.toml", "queue", "--config", "other.toml").exit_code == 0


def test_every_command_tells_of_the_configuration(cli: Cli) -> None:
    for command in (["up"], ["check"], ["queue"], ["account"], ["domain", "add"]):
        assert "--config FILE" in cli(*command, "--help").stdout


def test_a_misspelt_variable_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTMETER_SMPT_SUBMISSION", "127.0.0.1:25")
    assert "POSTMETER_SMPT_SUBMISSION" in told(cli("queue"), 3)


def test_a_short_password_is_refused(cli: Cli) -> None:
    cli("user", "add", "op@relay.example", "--operator")
    result = cli("user", "password", "op@relay.example", "--ask", input="short\nshort\n")
    assert result.exit_code == 2
    assert "at least 12 characters" in result.stderr


def test_a_folder_that_cannot_be_written_is_told(cli: Cli, data: Path) -> None:
    data.write_text("a file")
    assert told(cli("queue"), 4).startswith("the data folder data cannot be used: ")


def test_a_database_of_a_newer_version_is_refused(cli: Cli, data: Path) -> None:
    with_account(cli)
    with opened(data) as store, store.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert "the database was made by a newer Postmeter" in told(cli("stats", "acme"), 1)


def test_a_file_that_is_no_database_is_told(cli: Cli, data: Path) -> None:
    with_account(cli)
    (data / "postmeter.db").write_bytes(b"nonsense " * 1000)
    assert "database" in told(cli("queue"), 4)


def test_a_database_server_that_is_away_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POSTMETER_STORE_URL", f"postgresql+psycopg://nobody@/nothing?host={tmp_path}")
    assert "the database" in told(cli("queue"), 4)


def test_the_installed_command_ends_with_the_errors_code(data: Path) -> None:
    command = [str(Path(sys.executable).with_name("postmeter")), "stats", "nobody"]
    done = subprocess.run(command, cwd=data.parent, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "postmeter: there is no account 'nobody'\n"
