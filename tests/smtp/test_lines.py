"""Command lines: only CRLF ends them, and none grows without limit."""

from __future__ import annotations

import pytest

from postmeter.smtp.lines import MAX_SWALLOWED, Hopeless, LineReader
from postmeter.smtp.reply import Refused


def refused(reader: LineReader, login: bool = False) -> str:
    with pytest.raises(Refused) as refusal:
        reader.take(login)
    return f"{refusal.value.reply.code} {refusal.value.reply.status}"


def reader(data: bytes) -> LineReader:
    lines = LineReader()
    lines.buffer += data
    return lines


def test_lines_come_one_by_one() -> None:
    lines = reader(b"EHLO a\r\nNOOP\r\n\r\nQU")
    assert [lines.take(), lines.take(), lines.take(), lines.take()] == [b"EHLO a", b"NOOP", b"", None]
    lines.buffer += b"IT\r\n"
    assert lines.take() == b"QUIT"


@pytest.mark.parametrize(("start", "limit"), [(b"NOOP ", 512), (b"mail ", 2048), (b"RCPT ", 2048), (b"AUTH ", 12288)])
def test_every_command_has_its_limit(start: bytes, limit: int) -> None:
    fits = start.ljust(limit - 2, b"x")
    assert reader(fits + b"\r\n").take() == fits
    too_long = reader(fits + b"x\r\nNOOP\r\n")
    assert refused(too_long) == ("500 5.5.6" if start == b"AUTH " else "500 5.5.2")
    assert too_long.take() == b"NOOP"


def test_a_login_line_may_be_long() -> None:
    assert reader(b"x" * 12286 + b"\r\n").take(login=True) == b"x" * 12286
    assert refused(reader(b"x" * 12287 + b"\r\n"), login=True) == "500 5.5.6"


def test_a_line_that_is_too_long_is_refused_before_it_ends_and_not_kept() -> None:
    lines = reader(b"x" * 512)
    assert refused(lines) == "500 5.5.2"
    for _ in range(10):
        lines.buffer += b"\n" + b"x" * 1000
        assert lines.take() is None
        assert len(lines.buffer) == 0
    lines.buffer += b"\r"
    assert lines.take() is None
    lines.buffer += b"\nNOOP\r\n"
    assert lines.take() == b"NOOP"


@pytest.mark.parametrize("end", [b"", b"\r\n"])
def test_a_line_without_end_is_hopeless(end: bytes) -> None:
    lines = reader(b"x" * (MAX_SWALLOWED + 1) + end)
    refused(lines)
    with pytest.raises(Hopeless):
        lines.take()


def test_a_bare_lf_is_hopeless() -> None:
    for data in (b"NOOP\nNOOP\r\n", b"\n"):
        with pytest.raises(Hopeless):
            reader(data).take()
