"""Content made of few octets in many orders, its cuttings, and what a naive reader makes of it."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from postmeter.smtp.replies import BARE_CR, BARE_LF, LINE_TOO_LONG, NUL_IN_CONTENT
from postmeter.smtp.reply import Reply

# Line ends, dots, NUL and text; the long ones for lines that are nearly or just too long
octets = st.lists(
    st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"..", b"\0", b"a", b"\r\r\n", b"x" * 997, b"x" * 500])
).map(b"".join)
sizes = st.lists(st.integers(1, 40), max_size=30)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """``data`` in pieces of these sizes, and the rest."""
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


def naive_normalised(content: bytes) -> bytes:
    """Every LF, every CR and every run of CR before an LF as one CR LF."""
    return re.sub(rb"\r+\n|\r|\n", b"\r\n", content)


def naive_flaw(content: bytes) -> Reply | None:
    """What is wrong with the content, the worst first; not its size."""
    text = content.replace(b"\r\n", b"")
    for octet, flaw in ((b"\n", BARE_LF), (b"\r", BARE_CR), (b"\0", NUL_IN_CONTENT)):
        if octet in text:
            return flaw
    return LINE_TOO_LONG if any(len(line) > 998 for line in content.split(b"\r\n")) else None
