"""Replies out of bytes, from servers that mean well and from others."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.smtp.reply import Reply
from postmeter.smtp.reply_reader import MAX_LINES, MAX_REPLY, MAX_STORED_TEXT, ReplyReader


def read_all(*pieces: bytes) -> list[Reply]:
    reader, replies = ReplyReader(), []
    for piece in pieces:
        reader.feed(piece)
        while (reply := reader.next()) is not None:
            replies.append(reply)
    return replies


@given(st.lists(st.integers(0, 200)))
def test_chunks_do_not_matter(places: list[int]) -> None:
    data = b"250-mx.test\r\n250-SIZE 10\r\n250 PIPELINING\r\n250 2.1.0 Ok\r\n354 Go\r\n"
    data += b"550-5.1.1 No\r\n550 5.1.1 such user\r\n"
    cuts = [0, *sorted(places), len(data)]
    replies = read_all(*(data[start:end] for start, end in pairwise(cuts)))
    assert replies == [
        Reply(250, "", "mx.test\nSIZE 10\nPIPELINING"),
        Reply(250, "2.1.0", "Ok"),
        Reply(354, "", "Go"),
        Reply(550, "5.1.1", "No\nsuch user"),
    ]


def test_a_bare_line_feed_ends_a_line_too() -> None:
    assert read_all(b"220 hello\n") == [Reply(220, "", "hello")]


def test_control_characters_are_stored_escaped() -> None:
    [reply] = read_all(b"550 <script>\x00\x1b[31m\r\x7f\xc2\x85\xff\r\n")
    assert reply.text == r"<script>\x00\x1b[31m\x0d\x7f\x85\xff"


def test_a_long_text_is_cut_to_what_is_stored() -> None:
    [reply] = read_all(b"550 " + "ä".encode() * 5000 + b"\r\n")
    assert reply.text == "ä" * (MAX_STORED_TEXT // 2)


@pytest.mark.parametrize(
    "garbage",
    [
        b"hello\r\n",
        b"\r\n",
        b"25\r\n",
        b"250_ok\r\n",
        b"650 ok\r\n",
        b"250-a\r\n550 b\r\n",
        b"\xff\xfe\n",
    ],
)
def test_what_is_no_reply_is_refused(garbage: bytes) -> None:
    with pytest.raises(ValueError):
        read_all(garbage)


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        read_all(*[b"2" * 1000] * (MAX_REPLY // 1000 + 1))


def test_lines_without_end_are_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        read_all(b"250-x\r\n" * (MAX_LINES + 1))


def test_many_long_lines_are_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        read_all(*[b"250-" + b"x" * 2000 + b"\r\n"] * 40)


def test_nothing_is_left_after_whole_replies() -> None:
    reader = ReplyReader()
    reader.feed(b"250-a\r\n")
    assert reader.next() is None
    assert not reader.empty
    reader.feed(b"250 b\r\n")
    assert reader.next() is not None
    assert reader.empty


@given(st.binary(max_size=300))
def test_any_bytes_give_replies_or_a_value_error(data: bytes) -> None:
    try:
        replies = read_all(data)
    except ValueError:
        return
    assert all(200 <= reply.code < 600 for reply in replies)
