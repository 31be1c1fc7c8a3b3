"""What a shop's answers mean, and which addresses a shop can have."""

from __future__ import annotations

import json
from typing import Any

import pytest

from postmeter import Fetched, FetchError, UsageError
from postmeter_stores.settings import Settings
from postmeter_stores.web import (
    LONGEST_WAIT,
    MAX_ANSWER,
    Absent,
    Client,
    Later,
    Rejected,
    ShopError,
    Unusable,
    basic,
    clean_base,
)
from support.tenants import NOW


def ask(status: int, body: Any = None, **headers: str) -> Any:
    """What comes of such an answer."""
    octets = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    answer = Fetched(status, {name.replace("_", "-"): value for name, value in headers.items()}, octets)
    return Client(lambda *args, **more: answer, "https://shop.example", Settings(), lambda: NOW).ask("GET", "", {})


@pytest.mark.parametrize(("status", "body"), [(200, {"a": 1}), (201, [1]), (204, None), (200, True)])
def test_a_good_answer_is_its_data(status: int, body: Any) -> None:
    assert ask(status, body) == body


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (301, Unusable), (302, Unusable), (307, Unusable), (400, Rejected), (401, Unusable), (403, Unusable),
        (404, Absent), (405, Unusable), (408, Later), (409, Rejected), (413, Rejected), (422, Rejected), (425, Later),
        (429, Later), (500, Later), (502, Later), (503, Later), (504, Later), (520, Later),
    ],
)  # fmt: skip
def test_a_bad_answer_is_an_error_of_its_kind(status: int, error: type[ShopError]) -> None:
    with pytest.raises(ShopError) as caught:
        ask(status, {"message": "no\r\n\x1b[2Jway"})
    assert type(caught.value) is error
    assert str(status) in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"code": "x", "message": "Sorry"}, "(Sorry)"),
        ({"errors": [{"title": "Forbidden", "detail": "Missing order:update"}]}, "(Missing order:update)"),
        ({"errors": [{"code": 20, "message": "Key is not active"}]}, "(Key is not active)"),
        ({"message": "No %resources.", "parameters": {"resources": "Sales"}}, "(No Sales.)"),
        ({"message": "x" * 999}, f"({'x' * 200})"),
        ({"errors": "x"}, "401"), ([], "401"), ("x", "401"), (b"<html>", "401"), ({"errors": [5]}, "401"),
        ({"message": {"a": 1}}, "401"),
    ],
)  # fmt: skip
def test_a_shops_own_words_are_told(body: Any, said: str) -> None:
    with pytest.raises(Unusable) as caught:
        ask(401, body)
    assert said in str(caught.value)


def test_a_redirect_says_where_to() -> None:
    with pytest.raises(Unusable, match=r"redirects \(301\) to https://www\.shop\.example/; connect it with"):
        ask(301, location="https://www.shop.example/")


@pytest.mark.parametrize("body", [b"<html>maintenance</html>", b"{", b"[" * 100_000, b"\xff"])
def test_a_page_instead_of_data_is_trouble(body: bytes) -> None:
    with pytest.raises(Later, match="is not in JSON"):
        ask(200, body)


def test_a_shop_out_of_reach_is_asked_later() -> None:
    def fail(*args: Any, **more: Any) -> Fetched:
        raise FetchError("shop.example did not answer within 10 seconds")

    with pytest.raises(Later, match="did not answer within 10 seconds"):
        Client(fail, "https://shop.example", Settings(), lambda: NOW).ask("GET", "", {})


def test_a_request_is_made_with_the_settings() -> None:
    seen: list[Any] = []

    def note(*args: Any, **more: Any) -> Fetched:
        seen.append((args, more))
        return Fetched(204, {}, b"")

    own = Settings(allow_private=True, ca_file="ca.pem", timeout=7)
    client = Client(note, "https://shop.example/de", own, lambda: NOW)
    client.ask("POST", client.url("/x", [("a b", "c&d=[é]")]), basic("me", "pass"), {"a": "é"})
    ((args, more),) = seen
    assert args == ("POST", "https://shop.example/de/x?a%20b=c%26d%3D%5B%C3%A9%5D")
    assert json.loads(more.pop("body")) == {"a": "é"}
    headers = {"Accept": "application/json", "Content-Type": "application/json", "Authorization": "Basic bWU6cGFzcw=="}
    assert more.pop("headers") == headers
    assert more == {"timeout": 7.0, "allow_private": True, "ca_file": "ca.pem", "max_body": MAX_ANSWER}


def test_a_busy_shop_is_left_alone_for_as_long_as_it_asks_but_not_for_longer_than_a_day() -> None:
    for asked, wait in (("120", 120.0), ("9" * 400, LONGEST_WAIT), ("", 0.0)):
        with pytest.raises(Later) as caught:
            ask(503, retry_after=asked)
        assert caught.value.wait == wait


@pytest.mark.parametrize(
    ("url", "base"),
    [
        (" https://shop.example/de/ ", "https://shop.example/de"),
        ("https://müller.example/", "https://xn--mller-kva.example"),
        ("HTTPS://Shop.example.:443", "https://shop.example"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"), ("https://[::1]:80/", "https://[::1]:80"),
    ],
)  # fmt: skip
def test_an_address_is_kept_as_it_is_asked_without_its_last_slash(url: str, base: str) -> None:
    assert clean_base(url, Settings(allow_private=True)) == base
    assert clean_base(base, Settings(allow_private=True)) == base


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "is not a URL"), ("shop.example", "is not a URL"), ("ftp://shop.example", "is not a URL"),
        ("https://", "is not a URL"), ("https://me:pass@shop.example", "is not a URL"),
        ("https://[::1", "is not a URL"),
        ("https://shop.example:99999", "is not a URL"), ("https://shop.example/a b", "is not a URL"),
        ("http://shop.example", "only https is allowed"), ("https://127.0.0.1", "is not a public address"),
        ("https://shop.example?a=b", "a query or a fragment"), ("https://shop.example/#x", "a query or a fragment"),
    ],
)  # fmt: skip
def test_what_is_no_shops_address_is_refused(url: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        clean_base(url, Settings())
