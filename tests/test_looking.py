"""Look-ups for people who wait: all names at once, within one time limit."""

from __future__ import annotations

import time
from collections.abc import Iterator

import dns.reversename
import pytest

from postmeter import looking
from postmeter.errors import UnreachableError
from support.dns_server import FOREIGN, SERVFAIL, SILENCE
from support.dns_thread import DnsThread

REVERSE = dns.reversename.from_address("2001:db8::1").to_text(omit_final_dot=True)
EVIL = ".".join("a" * 45) + ".example"
LONG = '"v=DKIM1; " "k=rsa; " "p=abc"'
ZONE: dict[tuple[str, str], list[str] | str] = {
    ("shop.example", "TXT"): ['"v=spf1 -all"', '"other"'],
    ("key.shop.example", "TXT"): [LONG],
    ("alias.shop.example", "CNAME"): ["key.shop.example."],
    ("shop.example", "MX"): ["10 mx.shop.example."],
    ("broken.example", "TXT"): SERVFAIL,
    ("silent.example", "TXT"): SILENCE,
    ("large.example", "TXT"): ['"over TCP"'],
    ("evil.example", "MX"): [f"10 {EVIL}."],
    ("evil.example", "NS"): [f"{EVIL}."],
    ("forged.example", "TXT"): FOREIGN,
    ("forged.example", FOREIGN): ['"true"'],
    (REVERSE, "PTR"): ["mail.example."],
}


@pytest.fixture
def server() -> Iterator[str]:
    """Where the zone is served."""
    thread = DnsThread(ZONE, truncated={("large.example", "TXT"), ("evil.example", "NS")})
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


def test_what_does_not_fit_into_a_datagram_is_asked_for_over_tcp(server: str) -> None:
    assert looking.lookup(server, "large.example", "TXT") == ["over TCP"]


def test_the_reverse_of_an_ipv6_address_has_many_labels_and_is_read(server: str) -> None:
    assert looking.lookup(server, REVERSE, "PTR") == ["mail.example."]


@pytest.mark.parametrize("type", ["MX", "NS"])
def test_names_that_would_take_long_to_read_are_not_read(server: str, type: str) -> None:
    assert list(looking.look_up(server, ["evil.example"], type, seconds=0.5).unknown) == ["evil.example"]


def test_a_forged_response_is_passed_over(server: str) -> None:
    assert looking.lookup(server, "forged.example", "TXT") == ["true"]


def test_a_server_that_is_not_there_is_said() -> None:
    began = time.monotonic()
    with pytest.raises(UnreachableError, match=r"gives no answer about shop\.example"):
        looking.lookup("127.0.0.1:1", "shop.example", "TXT")
    assert time.monotonic() - began < 2
