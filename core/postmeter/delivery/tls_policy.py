"""What TLS a session must have (opportunistic, required, by MTA-STS or DANE), and what is wrong with the one it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from postmeter.delivery.dane import NO_MATCH, Tlsa
from postmeter.delivery.mta_sts import StsPolicy
from postmeter.smtp.reply import Reply

if TYPE_CHECKING:
    from postmeter.delivery.client_tls import TlsFacts

Level = Literal["opportunistic", "required", "sts", "dane"]
Result = Literal[  # RFC 8460, 4.3; empty: nothing has failed
    "",
    "starttls-not-supported",
    "certificate-host-mismatch",
    "certificate-expired",
    "certificate-not-trusted",
    "validation-failure",
    "dnssec-invalid",
    "sts-policy-fetch-error",
    "sts-policy-invalid",
    "sts-webpki-invalid",
]

OTHER_NAME, EXPIRED = "it is for another name", "it has expired"  # what may be wrong with a certificate
MODERN = ("TLSv1.2", "TLSv1.3")  # RFC 8461, 4
_RESULTS: dict[str, Result] = {OTHER_NAME: "certificate-host-mismatch", EXPIRED: "certificate-expired"}


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a session is not what the policy asks for, in words and as a report names it."""

    result: Result
    text: str

    @property
    def reply(self) -> Reply:
        """What becomes of the mail: it waits (RFC 8461, 5; RFC 7672, 2.2)."""
        return Reply(451, "4.7.5", self.text)


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """What a session with the mail server ``name`` must have.

    ``sts`` may be a policy that is only tested: what it finds is told and nothing else.
    """

    name: str = ""
    level: Level = "opportunistic"
    tlsa: Tlsa | None = None
    sts: StsPolicy | None = None

    @property
    def strict(self) -> bool:
        """Whether a session with a flaw takes no mail."""
        return self.level in ("sts", "dane")

    @property
    def authenticates(self) -> bool:
        """Whether a session without a flaw is with the right server for certain, as far as anybody can tell."""
        return self.level == "dane" or self.sts is not None

    @property
    def barred(self) -> Flaw | None:
        """Why there is no need to connect: whatever the server shows, the session would have this flaw."""
        if self.tlsa is not None and self.tlsa.failed:
            return Flaw("dnssec-invalid", f"The DNS gives no answer about the certificate of {self.name} (TLSA)")
        if self.sts is not None and not self.sts.allows(self.name):
            return Flaw(
                "validation-failure", f"The domain's policy (MTA-STS) does not name the mail server {self.name}"
            )
        return None

    def flaw(self, tls: TlsFacts) -> Flaw | None:
        """What is wrong with the TLS of a session; None: it is as it must be."""
        if self.level == "dane":
            return None if tls.matches else Flaw("validation-failure", NO_MATCH)
        if self.sts is None:
            return None
        if (barred := self.barred) is not None:
            return barred
        if tls.version not in MODERN:
            return Flaw("validation-failure", f"The mail server speaks {tls.version}, and its policy asks for TLSv1.2")
        if tls.problem:
            result = _RESULTS.get(tls.problem, "certificate-not-trusted")
            return Flaw(result, f"The certificate of the mail server is not as its policy promises: {tls.problem}")
        return None

    @property
    def told(self) -> tuple[str, ...]:
        """The policy as a report has it: its type, then its lines (RFC 8460, 4.4)."""
        if self.tlsa is not None:
            name = f"_{self.tlsa.port}._tcp.{self.tlsa.base}."
            return ("tlsa", *(f"{name} IN TLSA {record}" for record in self.tlsa.records))
        return ("sts", *self.sts.lines) if self.sts is not None else ("no-policy-found",)


@dataclass(frozen=True, slots=True)
class TlsPolicy:
    """What the sessions of a route must have; routes with different policies share none.

    ``required``: never in clear. ``dane``: the way to the mail servers is authentic, so that their TLSA records count.
    ``domain``: whose sessions those are alone; empty: anybody's. ``reported``: they count in reports about TLS.
    """

    required: bool = False
    dane: bool = False
    sts: StsPolicy | None = None
    domain: str = ""
    reported: bool = True

    def of(self, name: str, tlsa: Tlsa | None) -> HostPolicy:
        """What a session with this mail server must have. DANE comes before MTA-STS (RFC 8461, 2)."""
        if tlsa is not None and (tlsa.records or tlsa.failed):
            return HostPolicy(name, "dane", tlsa)
        if self.sts is not None and self.sts.mode == "enforce":
            return HostPolicy(name, "sts", None, self.sts)
        return HostPolicy(name, "required" if self.required or tlsa is not None else "opportunistic", None, self.sts)


OPPORTUNISTIC = TlsPolicy()
REQUIRED = TlsPolicy(required=True)
