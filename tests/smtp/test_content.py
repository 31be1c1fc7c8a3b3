"""The content reader: one end of data only, any cutting, all flaws told."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.smtp.content import BLOCK_SIZE, ContentReader

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
# Few octets in many orders: line ends, dots, NUL and text
octets = st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"..", b"\0", b"a", b"x" * 997, b"x" * 500])).map(
    b"".join
)
cuts = st.lists(st.integers(1, 40), max_size=30)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


def read(pieces: list[bytes], max_size: int = 10_000_000) -> tuple[ContentReader, bytes]:
    reader, content, rest = ContentReader(max_size), b"", b""
    for piece in pieces:
        if reader.ended:
            rest += piece
        else:
            content += reader.feed(piece)
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


def naive_status(content: bytes) -> str | None:
    text = content.replace(b"\r\n", b"")
    if b"\n" in text or b"\r" in text:
        return "5.5.2"
    if b"\0" in text or any(len(line) > 998 for line in content.split(b"\r\n")):
        return "5.6.0"
    return None


@given(octets, cuts)
def test_the_reader_equals_a_naive_one(data: bytes, sizes: list[int]) -> None:
    reader, content = read(cut(data, sizes))
    expected = naive(data)
    assert reader.ended is (expected is not None)
    if expected is None:
        return
    assert reader.rest == expected[1]
    assert reader.size == len(expected[0])
    status = reader.flaw.status if reader.flaw else None
    assert status == naive_status(expected[0])
    if status is None:
        assert content == expected[0]


@given(octets, cuts)
def test_cutting_does_not_matter(data: bytes, sizes: list[int]) -> None:
    pieces, (once, content) = cut(data + b"\r\n.\r\nQUIT\r\n", sizes), read([data + b"\r\n.\r\nQUIT\r\n"])
    reader, again = read(pieces)
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


@pytest.mark.parametrize("unit", [b"\r\n", b"\r\n.\r", b"\r", b"x", b"\r\n..", b"x" * 70 + b"\r\n"])
def test_large_content_takes_linear_time(unit: bytes) -> None:
    block = (unit * 65536)[:65536]
    reader, started = ContentReader(1 << 30), time.process_time()
    for _ in range(128):
        reader.feed(block)
    assert time.process_time() - started < 2
