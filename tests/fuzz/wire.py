"""The wire as a naive reader sees it, octet by octet: where content begins and ends, and what it must be."""

from __future__ import annotations

import re

from postmeter.smtp.limits import Limits
from postmeter.smtp.reply import Reply

SHORT = 80  # octets that no line is too long for
_END = b"\r\n.\r\n"
_match_bdat = re.compile(rb"BDAT +(\d{1,20})(?: +(?:LAST)?)? *\r\n", re.IGNORECASE).fullmatch


class Wire:
    """Follows a client that sends octet by octet; ``look_at`` compares a content with what was sent."""

    def __init__(self) -> None:
        self._line = b""  # of a command
        self._content: bytes | None = None  # behind DATA, as sent
        self._chunks = b""  # behind BDAT
        self._left = 0  # octets of a chunk that are still to come
        self._asked = False  # for a line of login data
        self.hopeless = False  # a short command line ended in a bare LF

    def sent(self, octet: bytes, in_content: bool, closing: bool) -> None:
        """The client sends ``octet``."""
        if closing:
            return
        if self._content is not None:
            self._content += octet
        elif self._left:
            self._left -= 1
            self._chunks += octet
        else:
            self._command(octet, in_content)

    def _command(self, octet: bytes, in_content: bool) -> None:
        self._line += octet
        self.hopeless = octet == b"\n" and len(self._line) < SHORT and not self._line.endswith(b"\r\n")
        if not self._line.endswith(b"\r\n"):
            return
        line, self._line = self._line, b""
        asked, self._asked = self._asked, False
        if not asked and (found := _match_bdat(line)):
            if not in_content:
                self._chunks = b""
            self._left = int(found[1])

    def said(self, said: bytes) -> None:
        """The server says this behind the last octet."""
        self._asked = said.startswith(b"334 ")
        if said.startswith(b"354 "):
            self._content = b""

    def look_at(self, content: bytes, flaw: Reply | None, limits: Limits) -> None:
        """At the end of a content: it is what was sent and nothing else, and it is refused when it has to be."""
        if self._content is not None:
            raw, self._content = b"\r\n" + self._content, None
            assert raw.find(_END) == len(raw) - len(_END)
            meant = raw[:-3].replace(b"\r\n.", b"\r\n")[2:]
        else:
            meant, self._chunks = self._chunks, b""
            if meant and meant[-1] not in b"\r\n":
                meant += b"\r\n"
        if limits.normalise_line_endings:
            meant = re.sub(rb"\r*\n|\r", b"\r\n", meant)
        assert flaw is not None or content == meant
        assert (flaw is None) is (fault(meant, limits) is None), (flaw, meant)


def fault(content: bytes, limits: Limits) -> str | None:
    """Why this content is to be refused."""
    if len(content) > limits.max_message_size:
        return "size"
    if re.search(rb"(?<!\r)\n|\r(?!\n)", content):
        return "bare CR or LF"
    if b"\0" in content:
        return "NUL"
    return None if limits.accept_long_lines or max(map(len, content.split(b"\r\n"))) <= 998 else "long line"
