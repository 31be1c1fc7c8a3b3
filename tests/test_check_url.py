"""A URL that somebody gives is judged when he gives it, and kept as it is asked."""

from __future__ import annotations

import pytest

from postmeter import FetchError, check_url


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://shop.example", "https://shop.example/"),
        ("HTTPS://Shop.example.:8443?a=B#c", "https://shop.example:8443/?a=B"),
        ("https://münchen.example:443/A%2f", "https://xn--mnchen-3ya.example/A%2f"),
        ("https://[2001:4860:0::1]", "https://[2001:4860::1]/"),
    ],
)
def test_a_url_is_checked_without_a_look_up_and_given_as_it_is_asked(url: str, asked: str) -> None:
    assert check_url(url) == asked
    assert check_url(asked) == asked


@pytest.mark.parametrize(
    "url", ["http://shop.example", "https://10.0.0.1/", "https://joe@shop.example/", "https://a b/"]
)
def test_a_url_that_would_be_refused_is_refused_when_checked(url: str) -> None:
    with pytest.raises(FetchError):
        check_url(url)
