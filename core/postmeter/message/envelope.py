"""The envelope: what MAIL and RCPT said (RFC 5321, 2.3.1; RFC 3461; RFC 6152; RFC 6531)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipient:
    """One forward path, kept byte for byte as received; the unit of queueing and of charging.

    ``notify`` is the NOTIFY value (``NEVER`` or a comma list of SUCCESS, FAILURE, DELAY) and ``orcpt`` the
    ORCPT value in its xtext form (RFC 3461, 4.1 and 4.2); empty when not given.
    """

    forward_path: str
    notify: str = ""
    orcpt: str = ""

    @property
    def domain(self) -> str:
        """The part behind the last ``@``, in lower case."""
        return self.forward_path.rpartition("@")[2].lower()


@dataclass(frozen=True, slots=True)
class Envelope:
    """The reverse path (empty for the null path), the recipients, and the parameters of MAIL.

    ``body`` is ``7BIT`` or ``8BITMIME``; ``ret`` is ``FULL``, ``HDRS`` or empty; ``envid`` is in its xtext form.
    """

    reverse_path: str
    recipients: tuple[Recipient, ...]
    body: str = "7BIT"
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
