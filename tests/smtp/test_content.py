"""The content reader: one end of data only, any cutting, all flaws told."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.smtp.collector import BLOCK_SIZE
from postmeter.smtp.content import ContentReader
from postmeter.smtp.replies import BARE_CR, NUL_IN_CONTENT, message_too_large
from support.octets import cut, naive_flaw, naive_normalised, octets, sizes

SMUGGLING = [
    b"\n.\n",
    b"\r.\r",
    b"\r.\n",
    b"\n.\r",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
]


def read(pieces: list[bytes], max_size: int = 10_000_000, normalise: bool = False) -> tuple[ContentReader, bytes]:
    reader, content, rest = ContentReader(max_size, normalise), b"", b""
    for piece in pieces:
        if reader.ended:
            rest += piece
        else:
            content += reader.feed(piece)
    if reader.ended:
        reader.rest += rest
    return reader, content


def naive(data: bytes) -> tuple[bytes, bytes] | None:
    """The content and the rest, line by line as RFC 5321, 4.5.2 tells it; None when it does not end."""
    content, lines = b"", data.split(b"\r\n")
    for place, line in enumerate(lines[:-1]):
        if line == b".":
            return content, b"\r\n".join(lines[place + 1 :])
        content += line.removeprefix(b".") + b"\r\n"
    return None


@given(octets, sizes)
def test_the_reader_equals_a_naive_one(data: bytes, pieces: list[int]) -> None:
    reader, content = read(cut(data, pieces))
    expected = naive(data)
    assert reader.ended is (expected is not None)
    if expected is None:
        return
    assert reader.rest == expected[1]
    assert reader.size == len(expected[0])
    assert reader.flaw == naive_flaw(expected[0])
    if reader.flaw is None:
        assert content == expected[0]


@given(octets, sizes)
def test_the_normalising_reader_equals_a_naive_one(data: bytes, pieces: list[int]) -> None:
    """The end of data and the added dots belong to what was sent, line ends to what is handed on."""
    reader, content = read(cut(data, pieces), normalise=True)
    sent = naive(data)
    assert reader.ended is (sent is not None)
    if sent is None:
        return
    expected = naive_normalised(sent[0])
    assert reader.rest == sent[1]
    assert reader.size == len(expected)
    assert reader.flaw == naive_flaw(expected)
    if reader.flaw is None:
        assert content == expected


@given(octets, sizes, st.booleans())
def test_cutting_does_not_matter(data: bytes, pieces: list[int], normalise: bool) -> None:
    data += b"\r\n.\r\nQUIT\r\n"
    once, content = read([data], normalise=normalise)
    reader, again = read(cut(data, pieces), normalise=normalise)
    assert (reader.size, reader.flaw, reader.rest, again) == (once.size, once.flaw, once.rest, content)


@pytest.mark.parametrize("sequence", SMUGGLING)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_only_crlf_dot_crlf_ends_the_content(sequence: bytes, size: int) -> None:
    data = b"Hello" + sequence + b"MAIL FROM:<evil@shop.example>\r\n.\r\nNOOP\r\n"
    reader, content = read([data[place : place + size] for place in range(0, len(data), size)])
    assert reader.ended
    assert reader.rest == b"NOOP\r\n"
    assert reader.flaw is not None
    assert reader.flaw.status in ("5.5.2", "5.6.0")
    assert content == b""


@pytest.mark.parametrize("sequence", SMUGGLING)
def test_an_odd_end_at_the_beginning_is_no_end_either(sequence: bytes) -> None:
    reader, _ = read([sequence.removeprefix(b"\r\n"), b"MAIL\r\n.\r\n"])
    assert reader.ended
    assert reader.flaw is not None


def test_the_content_may_be_empty() -> None:
    reader, content = read([b".\r\nQUIT\r\n"])
    assert (reader.ended, reader.size, reader.flaw, reader.rest, content) == (True, 0, None, b"QUIT\r\n", b"")


def test_added_dots_are_removed() -> None:
    reader, content = read([b"..\r\n..a\r\n...\r\nb.\r\n.\r\n"])
    assert content == b".\r\n.a\r\n..\r\nb.\r\n"
    assert reader.size == len(content)


def test_a_small_mail_is_one_block_however_it_comes() -> None:
    mail = b"Subject: x\r\n\r\n" + b"word " * 15 + b"\r\n.\r\n"
    reader = ContentReader(1000)
    blocks = [block for place in range(len(mail)) if (block := reader.feed(mail[place : place + 1]))]
    assert blocks == [mail[:-3]]


def test_a_large_mail_is_handed_on_while_it_comes() -> None:
    reader = ContentReader(10_000_000)
    line = b"x" * 70 + b"\r\n"
    blocks = [block for _ in range(5000) if (block := reader.feed(line))]
    assert len(blocks) >= 4
    assert all(BLOCK_SIZE <= len(block) < BLOCK_SIZE + 100 for block in blocks)


@pytest.mark.parametrize(("length", "flawed"), [(998, False), (999, True), (20_000, True)])
@pytest.mark.parametrize("size", [1, 997, 1000, 100_000])
def test_a_line_has_at_most_998_octets(length: int, flawed: bool, size: int) -> None:
    data = b"a\r\n" + b"x" * length + b"\r\nb\r\n.\r\n"
    reader, _ = read([data[place : place + size] for place in range(0, len(data), size)])
    assert reader.ended
    assert (reader.flaw is not None and reader.flaw.code == 550) is flawed


def test_the_added_dot_does_not_count_for_the_line() -> None:
    reader, _ = read([b".." + b"x" * 997 + b"\r\n.\r\n"])
    assert reader.flaw is None


def test_too_large_content_is_read_to_its_end_and_not_kept() -> None:
    reader, given_out = ContentReader(1000), 0
    for _ in range(3000):
        given_out += len(reader.feed(b"x" * 70 + b"\r\n"))
    reader.feed(b".\r\nNOOP\r\n")
    assert reader.flaw is not None
    assert (reader.flaw.code, reader.flaw.status) == (552, "5.3.4")
    assert (reader.ended, reader.size, reader.rest, given_out) == (True, 3000 * 72, b"NOOP\r\n", 0)


def test_exactly_the_limit_is_not_too_large() -> None:
    assert read([b"x" * 98 + b"\r\n.\r\n"], 100)[0].flaw is None
    assert read([b"x" * 99 + b"\r\n.\r\n"], 100)[0].flaw is not None


def test_the_size_wins_over_other_flaws() -> None:
    reader, _ = read([b"\n" * 200 + b"\r\n.\r\n"], 100)
    assert reader.flaw is not None
    assert reader.flaw.code == 552


@pytest.mark.parametrize("sequence", SMUGGLING[:8])
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_a_smuggled_end_becomes_lines_of_one_content(sequence: bytes, size: int) -> None:
    data = b"Hello" + sequence + b"MAIL FROM:<evil@shop.example>\r\n.\r\nNOOP\r\n"
    reader, content = read([data[place : place + size] for place in range(0, len(data), size)], normalise=True)
    assert (reader.flaw, reader.rest) == (None, b"NOOP\r\n")
    dot = b"" if sequence.startswith(b"\r\n") else b"."  # one behind a real line end counts as added
    assert content == b"Hello\r\n" + dot + b"\r\nMAIL FROM:<evil@shop.example>\r\n"


def test_a_dot_behind_a_bare_line_end_was_not_added() -> None:
    assert read([b"a\n.b\r\n..c\r\n.\r\n"], normalise=True)[1] == b"a\r\n.b\r\n.c\r\n"


def test_a_nul_is_refused_also_when_line_ends_are_normalised() -> None:
    assert read([b"a\n\0b\r\n.\r\n"], normalise=True)[0].flaw == NUL_IN_CONTENT


def test_lines_are_measured_as_they_are_handed_on() -> None:
    assert read([b"x" * 900 + b"\n" + b"x" * 900 + b"\r\n.\r\n"], normalise=True)[0].flaw is None


def test_what_is_handed_on_counts_for_the_size() -> None:
    assert read([b"\n" * 49 + b"\r\n.\r\n"], 100, normalise=True)[0].flaw is None
    assert read([b"\n" * 50 + b"\r\n.\r\n"], 100, normalise=True)[0].flaw == message_too_large(100)
    assert read([b"\r" * 1000 + b"\n\r\n.\r\n"], 100, normalise=True)[0].size == 4


def test_many_cr_are_no_line_end_and_are_not_kept() -> None:
    reader = ContentReader(10_000_000, normalise=True)
    for _ in range(100):
        assert reader.feed(b"\r" * 65536) == b""
    assert len(reader._collected) == 0
    reader.feed(b"x\r\n.\r\n")
    assert reader.flaw == BARE_CR


@given(st.sampled_from([999, 1000, 1001, 1002, 3000]), st.lists(st.integers(0, 4000), max_size=4))
def test_how_many_cr_are_too_many_does_not_depend_on_the_cutting(number: int, places: list[int]) -> None:
    data = b"x" * 30 + b"\r" * number + b"\ny\0\r\n.\r\n"
    cuts = [0, *sorted(place for place in places if place < len(data)), len(data)]
    reader = ContentReader(1_000_000, normalise=True)
    for begin, end in pairwise(cuts):
        reader.feed(data[begin:end])
    assert reader.ended
    assert reader.flaw == (BARE_CR if number > 1000 else NUL_IN_CONTENT)


def test_long_lines_may_be_accepted() -> None:
    reader = ContentReader(100_000, accept_long_lines=True)
    assert reader.feed(b"x" * 50_000 + b"\r\n.\r\n") == b"x" * 50_000 + b"\r\n"
    assert reader.flaw is None


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize(
    "unit", [b"\r\n", b"\r\n.\r", b"\r", b"x", b"\r\n..", b"x" * 70 + b"\r\n", b"\n", b"\r\r\n", b"\rx"]
)
def test_large_content_takes_linear_time(unit: bytes, normalise: bool) -> None:
    block = (unit * 65536)[:65536]
    reader, started = ContentReader(1 << 30, normalise), time.process_time()
    for _ in range(128):
        reader.feed(block)
    assert time.process_time() - started < 2
