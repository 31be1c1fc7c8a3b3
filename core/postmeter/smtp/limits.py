"""How much one submission session may send."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """``max_message_size`` in octets of content; the session ends with the last of the errors and failed logins."""

    max_message_size: int = 31457280
    max_recipients: int = 100  # the least that RFC 5321, 4.5.3.1.8 allows
    max_errors: int = 20
    max_auth_failures: int = 5


DEFAULT_LIMITS = Limits()
