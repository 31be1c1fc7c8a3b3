"""The submission session under any bytes in any cutting: same events, same replies, no command out of a content."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from postmeter.smtp.events import Content, EndOfContent, Mail, Rcpt
from postmeter.smtp.limits import Limits
from postmeter.smtp.session import Session
from support.dialogue import Driver, octet_by_octet
from support.octets import cut, naive_flaw, naive_normalised, sizes
from support.submission import BODY, ENVELOPE, LOGIN, codes, logged_in, secure

WORDS = [
    LOGIN,
    ENVELOPE,
    b"DATA\r\n",
    BODY,
    b".\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"MAIL FROM:<>\r\n",
    b"RCPT TO:<a@localhost>\r\n",
    b"AUTH LOGIN\r\n",
    b"c2hvcA==\r\n",
    b"BDAT 5\r\n",
    b"BDAT 30 LAST\r\n",
    b"BDAT 0 LAST\r\n",
    b"BDAT 1000\r\n",
    b"BDAT 0\r\n",
    b"BDAT x\r\n",
    b"\r\n",
    b"\r",
    b"\n",
    b"\0",
    b"\x16\x03",
    b"x" * 600,
    b"\xff",
    b"EHLO [::1]\r\n",
]
bodies = st.lists(
    st.sampled_from(
        [
            b"\n.\n",
            b"\n.\r\n",
            b"\r.\r",
            b"\r.\n",
            b"\n.\r",
            b"\r\n.\n",
            b"\r\n.\r",
            b"\r.\r\n",
            b"\r\n\0.\r\n",
            b"\r\n.\0\r\n",
            b"\r\n",
            b"\r",
            b"\n",
            b".",
            b"\r\n.\r\n",
            b"QUIT\r\n",
            b"RSET\r\n",
            b"BDAT 3 LAST\r\n",
            b"DATA\r\n",
            b"EHLO evil.example\r\n",
            b"MAIL FROM:<evil@shop.example>\r\n",
            b"RCPT TO:<victim@example.org>\r\n",
            b"Subject: x",
            b"x" * 990,
        ]
    ),
    max_size=12,
).map(b"".join)
limits = st.builds(
    Limits,
    max_message_size=st.sampled_from([40, 2000, 31457280]),
    max_errors=st.sampled_from([2, 20]),
    max_junk_commands=st.sampled_from([3, 100]),
    max_messages=st.sampled_from([1, 100]),
    normalise_line_endings=st.booleans(),
    accept_long_lines=st.booleans(),
)


@given(limits, st.lists(st.sampled_from(WORDS), max_size=25), sizes)
@settings(max_examples=300)
def test_cutting_changes_neither_events_nor_replies(limits: Limits, words: list[bytes], pieces: list[int]) -> None:
    data = b"".join(words)
    once, many = secure(limits), secure(limits)
    once.send(data)
    for piece in [*octet_by_octet(data[:200]), *cut(data[200:], pieces)]:
        many.send(piece)
    assert many.written == once.written
    assert many.events == once.events
    assert many.session.closing is once.session.closing
    assert many.session.in_content is once.session.in_content


@given(st.lists(st.one_of(st.binary(max_size=80), st.sampled_from(WORDS)), max_size=30), st.booleans(), limits)
@settings(max_examples=300)
def test_random_bytes_never_raise(pieces: list[bytes], tls: bool, limits: Limits) -> None:
    driver = Driver(Session("mail.example.net", limits, tls))
    for piece in pieces:
        driver.send(piece)
    assert all(200 <= code < 600 for code in codes(driver.written))


def ended(content: bytes) -> bytes:
    return content if content.endswith(b"\r\n") or not content else content + b"\r\n"


def by_data(content: bytes) -> bytes:
    """A transaction of a client that knows CR LF only and adds its dots accordingly (RFC 5321, 4.5.2)."""
    return ENVELOPE + b"DATA\r\n" + (b"\r\n" + ended(content)).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"


def by_bdat(content: bytes, sizes: list[int]) -> bytes:
    """A transaction with chunks of these sizes and the rest as the last one."""
    *chunks, last = cut(content, sizes)
    first = b"".join(b"BDAT %d\r\n%b" % (len(chunk), chunk) for chunk in chunks)
    return ENVELOPE + first + b"BDAT %d LAST\r\n%b" % (len(last), last)


def assert_one_message(driver: Driver, content: bytes) -> None:
    """The session saw exactly this content, and no command since the envelope."""
    *blocks, end = driver.events[2:]
    assert [type(event) for event in driver.events[:2]] == [Mail, Rcpt]
    assert all(isinstance(block, Content) for block in blocks)
    assert isinstance(end, EndOfContent)
    assert end.flaw == naive_flaw(content)
    assert driver.content == (content if end.flaw is None else b"")
    assert driver.session.poll() is None
    assert codes(driver.send(b"NOOP\r\n")) == [250]


@given(bodies, sizes)
@settings(max_examples=300)
def test_no_command_in_a_body_is_executed(body: bytes, pieces: list[int]) -> None:
    plain, normalising = logged_in(), logged_in(Limits(normalise_line_endings=True))
    for piece in cut(by_data(body), pieces):
        plain.send(piece)
        normalising.send(piece)
    assert_one_message(plain, ended(body))
    assert_one_message(normalising, naive_normalised(ended(body)))


@given(bodies, sizes, sizes)
@settings(max_examples=300)
def test_no_command_in_a_chunk_is_executed(body: bytes, chunks: list[int], pieces: list[int]) -> None:
    plain, normalising = logged_in(), logged_in(Limits(normalise_line_endings=True))
    for piece in cut(by_bdat(body, chunks), pieces):
        plain.send(piece)
        normalising.send(piece)
    assert_one_message(plain, ended(body))
    assert_one_message(normalising, ended(naive_normalised(body)))


@given(bodies, sizes, sizes)
def test_no_command_in_a_refused_chunk_is_executed(body: bytes, chunks: list[int], pieces: list[int]) -> None:
    driver = logged_in()
    for piece in cut(by_bdat(body, chunks).removeprefix(ENVELOPE), pieces):
        driver.send(piece)
    assert driver.events == []
    assert set(codes(driver.written)[3:]) == {503}  # behind greeting, EHLO and AUTH
    assert codes(driver.send(b"NOOP\r\n")) == [250]
