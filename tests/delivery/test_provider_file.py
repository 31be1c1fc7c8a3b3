"""Files of providers: what they may say, what is wrong with one, and whose word counts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from postmeter.delivery.provider import SHIPPED, Providers
from postmeter.delivery.provider_file import read
from postmeter.delivery.reply_rule import Rule
from postmeter.errors import ConfigError


def own(text: str) -> Providers:
    return Providers(read(text, "own.toml"), "own.toml")


@pytest.mark.parametrize(
    ("name", "connections", "mails", "tls"),
    [
        ("Google", 5, 50, "required"),
        ("Yahoo", 10, 20, "opportunistic"),
        ("Outlook.com", 5, 50, "opportunistic"),
        ("Microsoft 365", 5, 50, "opportunistic"),
        ("Apple", 10, 5, "opportunistic"),
        ("GMX and WEB.DE", 4, 20, "required"),
        ("T-Online", 4, 20, "opportunistic"),
        ("Comcast", 25, 1_000, "required"),
        ("Mimecast", 10, 100, "opportunistic"),
        ("Orange", 2, 100, "required"),
        ("mail.com", 10, 100, "opportunistic"),
        ("Barracuda", 10, 15, "required"),
        ("KPN", 10, 10, "required"),
        ("QQ", 4, 8, "required"),
        ("NetEase", 4, 7, "opportunistic"),
        ("Yahoo Japan", 2, 20, "opportunistic"),
        ("freenet", 10, 100, "opportunistic"),
        ("nobody we know", 10, 100, "opportunistic"),
    ],
)
def test_what_is_shipped(name: str, connections: int, mails: int, tls: str) -> None:
    shape = Providers().shape(name)
    assert (shape.connections, shape.mails, shape.tls, shape.idle) == (connections, mails, tls, 60.0)
    assert (shape.rate, shape.connection_rate) == (10.0 if name == "Yahoo Japan" else 100.0, 100 / 60)


def test_the_operators_word_counts_key_by_key() -> None:
    known = own('[default]\nidle = "5 s"\nmails = 7\n[Google]\nconnections = 3\n[Mine]\nmx = "MX.Mine.example"')
    google, mine = known.shape("Google"), known.shape("Mine")
    assert (google.connections, google.mails, google.idle, google.tls) == (3, 50, 5.0, "required")
    assert (mine.connections, mine.mails, mine.idle) == (10, 7, 5.0)
    assert (known.of("a.mx.mine.example"), known.of("aspmx.l.google.com")) == ("Mine", "Google")
    assert known.told("Google")["connections"] == (3, "own.toml")
    assert known.told("Google")["idle"] == (5.0, "own.toml, [default]")
    assert known.told("Google")["mails"] == (50, SHIPPED)
    assert known.told("Google")["rate"] == (100.0, f"{SHIPPED}, [default]")


def test_a_suffix_can_be_taken_from_one_of_ours() -> None:
    assert own('[Mine]\nmx = ["web.de"]').of("mx-ha02.web.de") == "Mine"


def test_rules_are_added_replaced_and_taken_away_by_name() -> None:
    known = own(
        '[Yahoo]\nrules = [{ name = "TSS04", text = "[TSS04]", for = "3 h" }, { name = "TS02" },\n'
        '{ name = "new", code = 451, status = "4.7", stage = ["mail", "rcpt"], times_per_hour = 3, for = "1 d",'
        " connections = 2, alarm = true }]"
    )
    rules = {rule.name: rule for rule in known.shape("Yahoo").rules}
    assert list(rules) == ["TSS04", "new", "TSS05", "TS03", "IP reputation"]
    assert rules["TSS04"].seconds == 10_800.0
    new = Rule("new", (), 451, "4.7", ("mail", "rcpt"), 3, 86_400.0, connections=2, alarm=True)
    assert rules["new"] == new
    assert known.told("Yahoo")["rule new"] == (new, "own.toml")
    assert "rule TS02" not in known.told("Yahoo")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[Google", "own.toml: "),
        ("Google = 3", r"own.toml: Google must be a table: \[Google\]"),
        ("[other]\nmails = 3", "is not 'other'"),
        ('[""]\nmails = 3', "1 to 100 printable characters"),
        ("[Goggle]\nmails = 3", "own.toml: Goggle is no provider that is known, so it needs mx"),
        ("[Google]\nconections = 3", "own.toml: Google.conections is unknown; there are: mx, connections, "),
        ('[default]\nmx = "x"', "own.toml: default.mx is unknown"),
        ("[Google]\nconnections = 0", "own.toml: Google.connections must be a whole number from 1 to 1,000, not 0"),
        ("[Google]\nconnections = true", "a whole number"),
        ('[Google]\nmails = "3"', "a whole number"),
        ("[Google]\nidle = 60", 'Google.idle must be a time such as "90 s", "30 min", "2 h" or "1 d", not 60'),
        ('[Google]\nidle = "60"', "a time such as"),
        ('[Google]\nidle = "0 s"', "a time such as"),
        ('[Google]\nrate = "fast"', 'Google.rate must be a rate such as "20/s", "100/min" or "5/h", not \'fast\''),
        ('[Google]\ntls = "sometimes"', '"opportunistic" or "required"'),
        ("[Google]\nmx = []", "a text, or a list of texts"),
        ("[Google]\nmx = [3]", "a text of 1 to 100 characters"),
        ("[Google]\napart = 1", "true or false"),
        ("[Google]\nrules = {}", "a list of tables"),
        ('[Google]\nrules = [{ name = "x", code = 421 }]', "own.toml: Google: rule 'x'"),
        ('[Google]\nmx = "*.google.com"', "own.toml: Google.mx must be a host name or the end of some"),
        ('[Google]\nrules = [{ code = 421, for = "1 h" }]', "has no name"),
        ('[Google]\nrules = [{ name = "x", code = 421 }]', "rule 'x' does not say for how long: for = \"30 min\""),
        ('[Google]\nrules = [{ name = "x", for = "1 h" }]', "would be about every refusal"),
        ('[Google]\nrules = [{ name = "x", cod = 421 }]', "rule 'x'.cod is unknown; there are: name, text, "),
        ('[Google]\nrules = [{ name = "x", code = 250, for = "1 h" }]', "a code from 400 to 599"),
        ('[Google]\nrules = [{ name = "x", status = "4.x", for = "1 h" }]', "an enhanced status"),
        ('[Google]\nrules = [{ name = "x", stage = "hello", for = "1 h" }]', "one of sign, route, connect, banner"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        own(text)


def test_a_dot_in_front_of_a_suffix_changes_nothing() -> None:
    known = own('[Google]\nmx = [".google.com", "GoogleMail.com."]')
    assert {known.of(name) for name in ("aspmx.l.google.com", "aspmx2.googlemail.com", "google.com")} == {"Google"}


def test_the_example_of_the_readme_is_a_file_that_can_be_used() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    [example] = re.findall(r"^```\n(\[Google\].*?)^```$", readme, re.DOTALL | re.MULTILINE)
    known = own(example)
    assert known.shape("Google").connections == 3
    assert known.shape(known.of("a.mx.sister.example")).rules[0].name == "full"


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"delivery.providers: .*mine.toml cannot be read"):
        Providers.load(tmp_path / "mine.toml")
    (tmp_path / "mine.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        Providers.load(tmp_path / "mine.toml")
    (tmp_path / "mine.toml").write_text("[Google]\nmails = 1")
    assert Providers.load(tmp_path / "mine.toml").shape("Google").mails == 1
