"""The operator's own bounce rules: read at start, tried first, and named when they cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from postmeter.bounce_rules import classifier
from postmeter.config import Delivery
from postmeter.errors import ConfigError
from postmeter.message.bounce import DAY

RULES = """
[holidays]
class = "server"
text = ["company holidays"]
"""


def test_own_rules_come_before_the_shipped_ones(tmp_path: Path) -> None:
    path = tmp_path / "bounces.toml"
    path.write_text(RULES, "utf-8")
    found = classifier(Delivery(bounce_rules=str(path))).classify("rcpt", 550, "5.1.1", "Company holidays!")
    assert (found.name, found.rule) == ("server", "holidays")


def test_how_long_addresses_are_not_tried_is_set() -> None:
    found = [classifier(Delivery(suppress_days=days)).classify("rcpt", 550, "5.1.1", "") for days in (0, 7)]
    assert [one.suppress_for for one in found] == [None, 7 * DAY]


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (None, "cannot be read: No such file"),
        (b"[holidays", "at the end of a table"),
        (b"\xff", "utf-8"),
        (b"[holidays]\nclass = 'fun'", r"\[holidays\] class must be one of"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(octets: bytes | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bounces.toml"
    if octets is not None:
        path.write_bytes(octets)
    with pytest.raises(ConfigError, match=f"delivery.bounce_rules: {path}.*{said}"):
        classifier(Delivery(bounce_rules=str(path)))
