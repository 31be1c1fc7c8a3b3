"""Domains of recipients: which cannot be in the DNS, whatever it would answer."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.smtp.domain import can_exist


@pytest.mark.parametrize(
    "domain",
    [
        "example.org",
        "EXAMPLE.ORG",
        "1.example",
        "123.example.org",
        "a.b2",
        "xn--exmple-cua.org",
        "exämple.org",
        "EXÄMPLE.org",
        "straße.example",
        "example.рф",
        "例え.テスト",
        "אב1.קום",  # digits at the end are allowed since RFC 5893, 2
        "क्\u200dष.भारत",  # a joiner that the script needs
        "💌.example",
        ".".join(["b" * 61] * 4),
        "ü" * 57 + ".example",  # 63 octets as an A-label
    ],
)
def test_what_may_be_a_domain(domain: str) -> None:
    assert can_exist(domain)


@pytest.mark.parametrize(
    "domain",
    [
        "localhost",
        "exämple",
        "192.0.2.1",
        "example.123",
        "example.٣٣",
        ".".join(["b" * 62] * 4) + ".org",
        "ü" * 58 + ".org",  # 64 octets as an A-label
        "".join(map(chr, range(0x4E00, 0x9E00, 640))) + ".example",  # 32 letters
        ".".join(["ü"] * 40),  # 319 octets as A-labels
        "exa\u00admple.org",
        "exämple\u200b.org",
        "exämple\ufeff.org",
        "ex\u3000ä.org",
        "ex\u202eä.org",
        "ex\ue000ä.org",
        "exämple\u3002org",
        "ex\uff0eämple.org",
        "ä\u3002.org",
    ],
)
def test_what_cannot_be_a_domain(domain: str) -> None:
    assert not can_exist(domain)


@given(st.text(min_size=1, max_size=80))
def test_any_text_can_be_judged(text: str) -> None:
    assert can_exist(f"{text.encode('utf-8', 'replace').decode()}.org") in (True, False)


def test_a_long_label_takes_no_time() -> None:
    started = time.process_time()
    for _ in range(100):
        can_exist(".".join(["".join(map(chr, range(0x4E00, 0x4E3F)))] * 4))
    assert time.process_time() - started < 1
