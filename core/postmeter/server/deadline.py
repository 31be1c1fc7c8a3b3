"""How long a session may take for what comes next; no clock: the times are given (in seconds, of any one clock)."""

from __future__ import annotations

from postmeter.config import Smtp

FAREWELL = 30.0  # seconds for a client to read its last reply and to close, then the link is cut
GRACE = 60.0  # seconds of a content before its rate is looked at


class Deadline:
    """The deadline of one session, which nothing that a client sends can stretch beyond what the settings say.

    There is a time for the TLS handshake, one from the beginning until log-in, one for each command to be complete
    (RFC 5321, 4.5.3.2.7), and for a content one for all of it, which a rate below the least one shortens, and so does
    a client that sends no more of it (RFC 5321, 4.5.3.2.5).
    """

    __slots__ = (
        "_begun",
        "_fixed",
        "_handshake",
        "_heard_at",
        "_leaving",
        "_limits",
        "_logged_in",
        "in_content",
        "octets",
    )

    def __init__(self, limits: Smtp, now: float) -> None:
        self._limits = limits
        self._fixed = now + limits.login_timeout  # until log-in; then for the next command, or for the farewell
        self._handshake: float | None = None
        self._logged_in = False
        self._leaving = False
        self.in_content = False
        self._begun = 0.0  # when the content began
        self._heard_at = 0.0  # when the last of it came
        self.octets = 0  # of the content so far

    @property
    def at(self) -> float:
        """When the session has taken too long, as things stand."""
        if self.in_content:
            rate = self._limits.min_data_rate
            slow = self._begun + max(GRACE, self.octets / rate) if rate else self._fixed
            return min(self._fixed, slow, self._heard_at + self._limits.command_timeout)
        return self._fixed if self._handshake is None else min(self._fixed, self._handshake)

    def shaking_hands(self, now: float) -> None:
        """A TLS handshake, or the header of a proxy, is awaited."""
        self._handshake = now + self._limits.handshake_timeout

    def secured(self) -> None:
        """It has come."""
        self._handshake = None

    def logged_in(self) -> None:
        """From now on each command has its own time."""
        self._logged_in = True

    def answered(self, now: float, in_content: bool) -> None:
        """Something was answered, or a content begins or ends: a command has its time anew, a content its own once."""
        if self._leaving:
            return
        if in_content:
            if not self.in_content:
                self._begun = self._heard_at = now
                self.octets = 0
                self._fixed = now + self._limits.content_timeout
        elif self._logged_in:
            self._fixed = now + self._limits.command_timeout
        self.in_content = in_content

    def heard(self, now: float, octets: int) -> None:
        """So many octets of the content have come."""
        self.octets += octets
        self._heard_at = now

    def leaving(self, now: float, patience: float = FAREWELL) -> None:
        """The last reply is on its way."""
        self._handshake, self.in_content, self._leaving = None, False, True
        self._fixed = now + patience
