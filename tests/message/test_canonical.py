"""Relaxed canonicalisation: dkimpy's bytes, in linear time, at any chunking."""

from __future__ import annotations

import hashlib
import time

import pytest
from dkim.canonicalization import Relaxed
from hypothesis import given
from hypothesis import strategies as st

from postmeter.message.canonical import BodyHash, body_hash, relaxed_field
from postmeter.message.header import split
from support.corpus import MESSAGES, thirty_megabytes

pieces = st.lists(
    st.sampled_from([b"a", b" ", b"\t", b"\r\n", b"\r", b"\n", b"b c", b"  ", b"\r\n\r\n", b"\0", b"\xfc"])
)


def expected(body: bytes) -> bytes:
    canonical: bytes = Relaxed.canonicalize_body(body)
    return hashlib.sha256(canonical).digest()


@given(pieces, st.data())
def test_random_bodies_hash_as_in_dkimpy_at_any_chunking(parts: list[bytes], data: st.DataObject) -> None:
    body = b"".join(parts) + b"\r\n" if parts else b""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)))))
    blocks = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    assert body_hash(blocks) == body_hash(body) == expected(body)


@pytest.mark.parametrize("name", MESSAGES)
def test_the_corpus_hashes_as_in_dkimpy_octet_by_octet_and_whole(name: str) -> None:
    body = split(MESSAGES[name])[1]
    assert body_hash(body) == expected(body)
    if len(body) < 50_000:
        assert body_hash(body[place : place + 1] for place in range(len(body))) == expected(body)


def test_a_body_without_a_last_line_end_gets_one() -> None:
    assert body_hash(b"a \r\nb") == expected(b"a\r\nb\r\n")
    assert body_hash(b" ") == expected(b"")


def test_many_empty_lines_between_texts_are_kept() -> None:
    hashed = BodyHash()
    for block in (b"a\r\n", b"\r\n" * 9000, b"b\r\n", b"\r\n" * 9000):
        hashed.update(block)
    assert hashed.digest() == hashlib.sha256(b"a\r\n" + b"\r\n" * 9000 + b"b\r\n").digest()


@given(
    st.sampled_from([b"Subject", b"X-a"]), st.lists(st.sampled_from([b"a", b" ", b"\t", b"\r\n ", b"\r\n\t", b"b:c"]))
)
def test_fields_are_canonical_as_in_dkimpy(name: bytes, parts: list[bytes]) -> None:
    value = b"".join(parts) + b"\r\n"
    [(lower, canonical)] = Relaxed.canonicalize_headers([(name, value)])
    assert relaxed_field(name + b":" + value) == lower + b":" + canonical


@pytest.mark.parametrize(
    "body",
    [
        (b" " * 16_000 + b"x\r\n") * 63,
        (b"x" + b" " * 16_000 + b"\r\n") * 63,
        (b"a b" * 300 + b" \t" * 49 + b"\r\n") * 1000,
        b" " * 1_000_000 + b"\r\n",
        b"\r\n" * 500_000 + b"x\r\n",
        b" \r\n" * 350_000,
        b"\r" * 1_000_000 + b"\r\n",
        b"x" * 1_000_000,
    ],
    ids=[
        "16 kB of blanks",
        "16 kB at line ends",
        "legal lines",
        "one line",
        "empty lines",
        "blank lines",
        "CR",
        "text",
    ],
)
def test_a_megabyte_full_of_blanks_takes_well_under_a_second(body: bytes) -> None:
    begin = time.process_time()
    assert len(body_hash(body)) == 32
    assert time.process_time() - begin < 0.5


def test_thirty_megabytes_are_hashed_in_blocks_and_whole_in_a_moment() -> None:
    content = thirty_megabytes()
    assert len(content) == 31_457_280
    body = split(content)[1]
    begin = time.process_time()
    whole = body_hash(body)
    assert time.process_time() - begin < 1.5
    assert body_hash(body[place : place + 65_521] for place in range(0, len(body), 65_521)) == whole
