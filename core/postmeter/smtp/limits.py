"""How much one submission session may send."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends or refuses: sizes in octets, the rest in numbers; the session ends with the last that it may have.

    ``max_junk_commands`` counts commands in a row that are not about a message (NOOP, RSET, EHLO, VRFY and so on).
    """

    max_message_size: int = 31457280
    max_recipients: int = 100  # the least that RFC 5321, 4.5.3.1.8 allows
    max_messages: int = 100_000
    max_errors: int = 20
    max_junk_commands: int = 100
    max_login_failures: int = 5
    max_command_line: int = 512  # with CRLF; RFC 5321, 4.5.3.1.4
    max_login_line: int = 12288  # RFC 4954, 4
    normalise_line_endings: bool = False  # make bare CR and bare LF into CRLF instead of refusing them
    accept_long_lines: bool = False  # take lines of more than 998 octets

    @property
    def of_content(self) -> tuple[int, bool, bool]:
        """What a reader of content has to know."""
        return self.max_message_size, self.normalise_line_endings, self.accept_long_lines


DEFAULT_LIMITS = Limits()
