"""Content in chunks: one stream however it is chunked and cut, counted and checked as behind DATA."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.smtp.chunk import Chunk, ChunkReader, RefusedChunk
from postmeter.smtp.collector import BLOCK_SIZE
from postmeter.smtp.lines import Hopeless
from postmeter.smtp.replies import BARE_CR, BARE_LF, LINE_TOO_LONG, MAIL_FIRST, NUL_IN_CONTENT, message_too_large
from postmeter.smtp.reply import Reply
from support.octets import cut, naive_flaw, naive_normalised, octets, sizes

LIMIT = 10_000_000


def read(chunks: list[bytes], pieces: list[int], reader: ChunkReader) -> bytes:
    """What the reader gives for these chunks when each comes in pieces of these sizes."""
    content = b""
    for number, chunk in enumerate(chunks, 1):
        reader.expect(Chunk(len(chunk), last=number == len(chunks)))
        buffer = bytearray()
        for piece in cut(chunk, pieces):
            buffer += piece
            while block := reader.read(buffer):
                content += block
            assert not buffer
        assert reader.read(buffer) == b""
    assert reader.ended
    return content


def flaw_of(*chunks: bytes, limit: int = LIMIT) -> Reply | None:
    reader = ChunkReader(limit)
    read(list(chunks), [], reader)
    return reader.flaw


def ended(content: bytes) -> bytes:
    """As behind DATA: with a line end."""
    return content if content.endswith(b"\r\n") or not content else content + b"\r\n"


@given(octets, sizes, sizes)
def test_the_reader_equals_a_naive_one(data: bytes, chunks: list[int], pieces: list[int]) -> None:
    reader = ChunkReader(LIMIT)
    content = read(cut(data, chunks), pieces, reader)
    flaw = naive_flaw(ended(data))
    assert reader.flaw == flaw
    if flaw is None:
        assert content == ended(data)
        assert reader.size == len(content)


@given(octets, sizes, sizes)
def test_the_normalising_reader_equals_a_naive_one(data: bytes, chunks: list[int], pieces: list[int]) -> None:
    reader = ChunkReader(LIMIT, normalise=True)
    content = read(cut(data, chunks), pieces, reader)
    expected = ended(naive_normalised(data))
    assert reader.flaw == naive_flaw(expected)
    if reader.flaw is None:
        assert content == expected
        assert reader.size == len(content)


@given(octets, sizes, sizes, st.booleans(), st.integers(0, 3000))
def test_neither_chunks_nor_cutting_matter(
    data: bytes, chunks: list[int], pieces: list[int], normalise: bool, limit: int
) -> None:
    once, many = ChunkReader(limit, normalise), ChunkReader(limit, normalise)
    assert read([data], [], once) == read(cut(data, chunks), pieces, many)
    assert once.flaw == many.flaw
    assert once.flaw or once.size == many.size


def test_a_line_end_may_be_in_two_chunks() -> None:
    assert flaw_of(b"a\r", b"\nb\r", b"\n") is None
    assert flaw_of(b"a\r", b"", b"\n") is None


@pytest.mark.parametrize(
    ("chunks", "flaw"),
    [
        ((b"a\nb\r\n",), BARE_LF),
        ((b"a", b"\n"), BARE_LF),
        ((b"a\rb\r\n",), BARE_CR),
        ((b"a\r",), BARE_CR),
        ((b"a\r", b""), BARE_CR),
        ((b"a\r", b"\r\n"), BARE_CR),
        ((b"a\0",), NUL_IN_CONTENT),
        ((b"x" * 500, b"x" * 499), LINE_TOO_LONG),
        ((b"x" * 998,), None),
        ((b"",), None),
        ((b"\r\n.\r\n", b".\r\n"), None),
    ],
)
def test_a_flaw_is_found_over_all_chunks(chunks: tuple[bytes, ...], flaw: Reply | None) -> None:
    assert flaw_of(*chunks) == flaw


def test_a_flaw_is_told_at_its_chunk_and_at_those_behind_it() -> None:
    reader, replies = ChunkReader(LIMIT), []
    for chunk in (b"a\r", b"b\r\n", b"c\r\n"):
        reader.expect(Chunk(len(chunk), False))
        assert reader.read(bytearray(chunk)) == b""
        replies.append(str(reader.reply))
    assert replies == ["250 2.0.0 2 octets received", str(BARE_CR), str(BARE_CR)]


def test_the_rest_of_the_buffer_is_left_alone() -> None:
    reader, buffer = ChunkReader(LIMIT), bytearray(b"abcQUIT\r\n")
    reader.expect(Chunk(3, True))
    assert reader.read(buffer) == b"abc\r\n"
    assert reader.read(buffer) == b""
    assert buffer == b"QUIT\r\n"


def test_more_octets_are_awaited() -> None:
    reader, buffer = ChunkReader(LIMIT), bytearray(b"ab")
    reader.expect(Chunk(3, False))
    assert reader.read(buffer) is None
    assert reader.read(buffer) is None
    buffer += b"cd"
    assert reader.read(buffer) == b""
    assert buffer == b"d"


def test_a_chunk_that_cannot_fit_is_not_kept_from_its_beginning() -> None:
    reader = ChunkReader(1000)
    reader.expect(Chunk(900, False))
    assert reader.read(bytearray(b"x" * 70 + b"\r\n") * 13) is not None
    reader.expect(Chunk(10**20 - 1, False))
    assert reader.flaw == message_too_large(1000)
    assert reader.read(bytearray(b"x" * 5000)) is None
    assert len(reader._collected) == 0


@pytest.mark.parametrize(("length", "fits"), [(98, True), (99, False), (100, False)])
def test_the_line_end_that_is_added_counts(length: int, fits: bool) -> None:
    assert (flaw_of(b"x" * length, limit=100) is None) is fits
    assert flaw_of(b"x" * 98 + b"\r\n", limit=100) is None


def test_a_normalised_content_is_measured_as_it_is_handed_on() -> None:
    shrinks, grows = ChunkReader(100, normalise=True), ChunkReader(100, normalise=True)
    assert read([b"x" * 97 + b"\r" * 1000 + b"\n"], [], shrinks) == b"x" * 97 + b"\r\n"
    assert read([b"\n" * 51], [], grows) == b""
    assert (shrinks.flaw, grows.flaw) == (None, message_too_large(100))


def test_a_large_content_is_handed_on_while_it_comes() -> None:
    reader, blocks = ChunkReader(LIMIT), []
    for _ in range(5000):
        reader.expect(Chunk(72, False))
        buffer = bytearray(b"x" * 70 + b"\r\n")
        while block := reader.read(buffer):
            blocks.append(block)
    assert len(blocks) >= 4
    assert all(BLOCK_SIZE <= len(block) < BLOCK_SIZE + 100 for block in blocks)


@given(st.integers(0, 200), st.lists(st.binary(max_size=60), max_size=10))
def test_a_refused_chunk_takes_its_octets_and_no_more(size: int, pieces: list[bytes]) -> None:
    chunk, buffer = RefusedChunk(Chunk(size, False), MAIL_FIRST), bytearray()
    sent = b"".join(pieces)
    for piece in pieces:
        buffer += piece
        assert chunk.read(buffer) in (b"", None)
    assert buffer == sent[size:]
    assert (chunk.read(buffer) == b"") is (len(sent) >= size)


@pytest.mark.parametrize(
    ("argument", "chunk"),
    [
        ("0", Chunk(0, False)),
        ("0 LAST", Chunk(0, True)),
        ("1000000 last", Chunk(1_000_000, True)),
        ("007   Last", Chunk(7, True)),
        ("9" * 20, Chunk(10**20 - 1, False)),
    ],
)
def test_bdat_announces_a_chunk(argument: str, chunk: Chunk) -> None:
    assert Chunk.parse(argument) == chunk


@pytest.mark.parametrize(
    "argument",
    ["", "LAST", "-1", "+1", "1.0", "1e3", "0x10", "1,000", "٣", "²", "9" * 21, "1 FIRST", "1 LAST x", "1LAST"],
)
def test_a_chunk_whose_end_nobody_can_tell_is_hopeless(argument: str) -> None:
    with pytest.raises(Hopeless) as refused:
        Chunk.parse(argument)
    assert str(refused.value.reply).startswith("501 5.5.4")
