"""Look-ups for people who wait: all names at once, within one time limit."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from postmeter import looking
from support.dns_server import SERVFAIL, SILENCE
from support.dns_thread import DnsThread

LONG = '"v=DKIM1; " "k=rsa; " "p=abc"'
ZONE: dict[tuple[str, str], list[str] | str] = {
    ("shop.example", "TXT"): ['"v=spf1 -all"', '"other"'],
    ("key.shop.example", "TXT"): [LONG],
    ("alias.shop.example", "CNAME"): ["key.shop.example."],
    ("shop.example", "MX"): ["10 mx.shop.example."],
    ("broken.example", "TXT"): SERVFAIL,
    ("silent.example", "TXT"): SILENCE,
}


@pytest.fixture
def server() -> Iterator[str]:
    """Where the zone is served."""
    thread = DnsThread(ZONE)
    yield f"127.0.0.1:{thread.port}"
    thread.close()


def test_the_texts_of_all_names_are_found_together(server: str) -> None:
    heard = looking.look_up(server, ["shop.example", "key.shop.example", "alias.shop.example", "nobody.example"])
    assert set(heard.records.pop("shop.example")) == {"v=spf1 -all", "other"}  # type: ignore[attr-defined]
    assert heard.records == {
        "key.shop.example": ("v=DKIM1; k=rsa; p=abc",),
        "alias.shop.example": ("v=DKIM1; k=rsa; p=abc",),
        "nobody.example": (),
    }
    assert heard.unknown == {}


def test_other_records_are_told_in_their_usual_form(server: str) -> None:
    assert looking.look_up(server, ["shop.example"], "MX").records == {"shop.example": ("10 mx.shop.example.",)}


def test_names_without_an_answer_hold_nobody_up(server: str) -> None:
    began = time.monotonic()
    heard = looking.look_up(server, ["silent.example", "broken.example", "key.shop.example"], seconds=0.5)
    assert time.monotonic() - began < 2
    assert list(heard.records) == ["key.shop.example"]
    assert heard.unknown["silent.example"].startswith("the DNS gives no answer about silent.example: ")
    assert set(heard.unknown) == {"silent.example", "broken.example"}


def test_a_name_that_cannot_be_is_no_answer(server: str) -> None:
    assert list(looking.look_up(server, [f"{'a' * 64}.example"]).unknown) == [f"{'a' * 64}.example"]
