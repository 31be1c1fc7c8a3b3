"""The octets that a mail becomes."""

from __future__ import annotations

import gc
import random
import re
import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postmeter.message.envelope import Envelope, Recipient
from postmeter.smtp.mail import PIECE, ContentWriter, Outcome, envelope_commands, limit
from postmeter.smtp.reply import Reply

ALL = {"SIZE": "1000", "8BITMIME": "", "SMTPUTF8": "", "DSN": "", "PIPELINING": ""}
TOKENS = st.sampled_from([b"\r\n", b".", b"\r\n.", b"..", b"\r", b"\n", b"a", b"text.", b"\r\n.\r\n", b""])


BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")


def wire(*content: bytes) -> bytes:
    writer, pieces = ContentWriter(content, sum(map(len, content))), []
    while not writer.finished:
        pieces.append(writer.next())
    assert writer.next() == b""
    return b"".join(pieces)


def unstuffed(data: bytes) -> bytes:
    """The content as a server reads it: up to the first line that is a dot."""
    lines = data.split(b"\r\n")
    end = lines.index(b".")
    assert lines[end:] == [b".", b""], "the end of data came early"
    return b"".join((line[1:] if line[:1] == b"." else line) + b"\r\n" for line in lines[:end])


def whole(content: bytes) -> bytes:
    return content if content.endswith(b"\r\n") or not content else content + b"\r\n"


@settings(max_examples=400)
@given(st.lists(TOKENS | st.binary(max_size=8), max_size=24), st.lists(st.integers(0, 120), max_size=8))
def test_stuffing_undone_gives_the_content_wherever_it_is_cut(tokens: list[bytes], places: list[int]) -> None:
    content = b"".join(tokens)
    cuts = [0, *sorted(min(place, len(content)) for place in places), len(content)]
    sent = wire(*(content[start:end] for start, end in pairwise(cuts)))
    assert unstuffed(sent) == whole(content)
    assert sent == wire(content)


@settings(max_examples=200)
@given(
    st.integers(-6, 6), st.sampled_from([b"\r\n.\r\nMAIL FROM:<evil@x>\r\n", b"\r\n..\r\n", b"\r\n.x", b"\r\n\r\n."])
)
def test_a_dot_at_the_border_of_a_piece_is_stuffed(offset: int, tail: bytes) -> None:
    content = b"x" * (PIECE + offset) + tail
    assert unstuffed(wire(content)) == whole(content)
    assert unstuffed(wire(content[: PIECE - 3], content[PIECE - 3 :])) == whole(content)


def test_ten_thousand_random_bodies_are_stuffed_wherever_they_are_cut() -> None:
    chance = random.Random(20)
    tokens = [b"\r\n", b"\r\n.", b".", b"..", b"\r\n.\r\n", b"RCPT TO:<evil@x>\r\n", b"text", b"y" * 70]
    for _ in range(10_000):
        content = b"".join(chance.choices(tokens, k=chance.randrange(30)))
        cuts = [0, *sorted(chance.randrange(len(content) + 1) for _ in range(chance.randrange(5))), len(content)]
        sent = wire(*(content[start:end] for start, end in pairwise(cuts)))
        assert unstuffed(sent) == whole(content)
        assert not BARE.search(sent), "a bare CR or LF that was not in the content"


def test_no_offset_lets_a_dot_line_through() -> None:
    for offset in range(16_390):
        content = b"y" * offset + b"\r\n.\r\nRCPT TO:<evil@x>\r\n"
        sent = wire(content[: offset + 1], content[offset + 1 : offset + 3], content[offset + 3 :])
        assert sent == content[: offset + 2] + b"." + content[offset + 2 :] + b".\r\n"


def test_an_empty_content_is_the_dot_alone() -> None:
    assert wire() == wire(b"", b"") == b".\r\n"


def test_a_small_content_and_its_dot_are_one_piece() -> None:
    writer = ContentWriter((b"Subject: x\r\n", b"\r\nhello"), 19)
    assert writer.next() == b"Subject: x\r\n\r\nhello\r\n.\r\n"
    assert writer.finished


def test_a_large_content_comes_in_bounded_pieces() -> None:
    writer = ContentWriter((b".\r\n" * 100_000,), 300_000)
    sizes = []
    while not writer.finished:
        sizes.append(len(writer.next()))
    assert len(sizes) > 4
    assert max(sizes) <= PIECE * 2


def test_parameters_are_sent_where_they_are_offered() -> None:
    to = (Recipient("joe@example.org", "SUCCESS,FAILURE", "rfc822;joe@example.org"), Recipient('"a b"@example.org'))
    envelope = Envelope("me@example.net", to, "8BITMIME", smtputf8=True, ret="HDRS", envid="QQ314")
    assert envelope_commands(envelope, 42, ALL) == [
        b"MAIL FROM:<me@example.net> SIZE=42 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ314\r\n",
        b"RCPT TO:<joe@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;joe@example.org\r\n",
        b'RCPT TO:<"a b"@example.org>\r\n',
        b"DATA\r\n",
    ]


def test_no_parameter_is_sent_that_is_not_offered() -> None:
    envelope = Envelope("", (Recipient("joe@example.org", "NEVER", "rfc822;x"),), "8BITMIME", ret="FULL", envid="1")
    assert envelope_commands(envelope, 42, {}) == [b"MAIL FROM:<>\r\n", b"RCPT TO:<joe@example.org>\r\n", b"DATA\r\n"]


@pytest.mark.parametrize("path", ['"a\r\nRCPT TO:<x@evil>\r\n"@b', "a\nb@c", "a\x00@b", "a@b\r"])
def test_a_path_that_would_break_out_of_its_line_is_never_sent(path: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        envelope_commands(Envelope("", (Recipient(path),)), 1, ALL)
    with pytest.raises(ValueError, match="control character"):
        envelope_commands(Envelope(path, (Recipient("a@b"),)), 1, ALL)


@pytest.mark.parametrize("path", ["Joe.B+Tag@EXAMPLE.org", "jörg@exämple.org", '"very odd"@x.org', "a\udcff@x.org"])
def test_a_recipient_is_sent_octet_for_octet(path: str) -> None:
    command = envelope_commands(Envelope("", (Recipient(path),)), 1, {})[1]
    assert command == b"RCPT TO:<" + path.encode("utf-8", "surrogateescape") + b">\r\n"


def test_a_refusal_before_mail_is_never_permanent() -> None:
    refusal = Reply(554, "5.7.1", "We do not like you")
    assert not any(Outcome(0, refusal, stage).permanent for stage in ("connect", "banner", "ehlo", "starttls"))
    assert all(Outcome(0, refusal, stage).permanent for stage in ("mail", "rcpt", "data", "content"))


@pytest.mark.parametrize("size", [100, 200_000])
def test_a_content_that_was_written_is_let_go_without_the_garbage_collector(size: int) -> None:
    content = (b"Subject: hello\r\n\r\n", b"x" * size + b"\r\n")
    before = sys.getrefcount(content[1])
    gc.disable()
    try:
        writer = ContentWriter(content, size)
        while not writer.finished:
            writer.next()
        abandoned = ContentWriter(content, size)
        abandoned.next()
        del writer, abandoned
        after = sys.getrefcount(content[1])
    finally:
        gc.enable()
    assert after == before


@pytest.mark.parametrize(
    ("said", "most"),
    [
        ("RCPTMAX=20", 20),
        ("MAILMAX=5 RCPTMAX=20 RCPTDOMAINMAX=1", 20),
        ("rcptmax=7", 7),
        ("RCPTMAX=1000", 100),
        ("RCPTMAX=0", 100),
        ("RCPTMAX=-1", 100),
        ("RCPTMAX=", 100),
        ("RCPTMAX=20x", 100),
        ("RCPTMAX=9999999", 100),
        ("XRCPTMAX=3", 100),
        ("", 100),
    ],
)
def test_a_servers_limits_are_kept_to(said: str, most: int) -> None:
    assert limit({"LIMITS": said}, "RCPTMAX", 100) == most
    assert limit({}, "RCPTMAX", 100) == 100
