"""A report about TLS (RFC 8460): who wants it, what it says, and the mail that brings it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any
from urllib.parse import unquote

from postmeter.store.tls_reports import DAY, Seen

MOST_DESTINATIONS = 5
KIND = "application", "tlsrpt+gzip"
_VERSION = "v=TLSRPTv1"


@dataclass(frozen=True, slots=True)
class Report:
    """The report about a day (its first second, UTC) and a domain, by the relay of this name."""

    hostname: str
    domain: str
    day: int
    sessions: Mapping[Seen, int]

    @property
    def identifier(self) -> str:
        """The same whenever and by whichever worker it is made."""
        return f"{_date(self.day)[:10]}.{self.domain}@{self.hostname}"

    @property
    def body(self) -> dict[str, Any]:
        """As JSON has it (RFC 8460, 4.4)."""
        policies: dict[tuple[str, ...], dict[Seen, int]] = {}
        for seen, sessions in sorted(self.sessions.items()):
            policies.setdefault(seen.policy, {})[seen] = sessions
        return {
            "organization-name": self.hostname,
            "date-range": {"start-datetime": _date(self.day), "end-datetime": _date(self.day + DAY - 1)},
            "contact-info": f"postmaster@{self.hostname}",
            "report-id": self.identifier,
            "policies": [self._policy(policy, counted) for policy, counted in policies.items()],
        }

    @property
    def packed(self) -> bytes:
        """The body as it is sent."""
        return gzip.compress(json.dumps(self.body).encode(), mtime=self.day)

    def mail(self) -> EmailMessage:
        """The mail that brings it (RFC 8460, 5.3), and asks not to be kept by what it reports (RFC 8689, 5)."""
        mail = EmailMessage()
        mail["Subject"] = f"Report Domain: {self.domain} Submitter: {self.hostname} Report-ID: <{self.identifier}>"
        mail["TLS-Report-Domain"] = self.domain
        mail["TLS-Report-Submitter"] = self.hostname
        mail["TLS-Required"] = "No"
        mail.set_content(f"This is a report about TLS in sessions with the mail servers of {self.domain}.\n")
        name = f"{self.hostname}!{self.domain}!{self.day}!{self.day + DAY - 1}.json.gz"
        mail.add_attachment(self.packed, *KIND, filename=name)
        mail.set_type("multipart/report")
        mail.set_param("report-type", "tlsrpt")
        return mail

    def _policy(self, policy: tuple[str, ...], counted: Mapping[Seen, int]) -> dict[str, Any]:
        kind, *lines = policy
        hosts = [line.removeprefix("mx: ") for line in lines if kind == "sts" and line.startswith("mx: ")]
        domain = _base(lines[0]) if kind == "tlsa" and lines else self.domain
        about: dict[str, Any] = {"policy-type": kind, "policy-string": lines, "policy-domain": domain}
        failed = {seen: sessions for seen, sessions in counted.items() if seen.result}
        return {
            "policy": about | ({"mx-host": hosts} if hosts else {}),
            "summary": {
                "total-successful-session-count": sum(counted.values()) - sum(failed.values()),
                "total-failure-session-count": sum(failed.values()),
            },
            "failure-details": [_failure(seen, sessions) for seen, sessions in failed.items()],
        }


def destinations(texts: Iterable[str]) -> tuple[str, ...]:
    """Where the one valid record among these TXT texts wants reports sent: URIs of https and mailto."""
    records = [text for text in texts if text.partition(";")[0].strip() == _VERSION]
    if len(records) != 1:  # RFC 8460, 3
        return ()
    for field in records[0].split(";")[1:]:
        name, _, value = field.strip().partition("=")
        if name.strip() == "rua":
            found = dict.fromkeys(one.strip() for one in value.split(","))
            return tuple(one for one in found if one.lower().startswith(("mailto:", "https://")))[:MOST_DESTINATIONS]
    return ()


def mailbox(uri: str) -> str:
    """The address in a URI of mailto; empty when it is another."""
    scheme, _, rest = uri.partition(":")
    return unquote(rest.partition("?")[0]) if scheme.lower() == "mailto" else ""


def _base(record: str) -> str:
    """The domain that a policy of DANE is about: that of its records (RFC 8460, 1.1; RFC 7672, 1.1)."""
    return record.partition(" ")[0].partition("._tcp.")[2].removesuffix(".")


def _failure(seen: Seen, sessions: int) -> dict[str, Any]:
    known = {
        "sending-mta-ip": seen.source,
        "receiving-mx-hostname": seen.host,
        "receiving-ip": seen.address,
        "failure-reason-code": seen.reason,
    }
    told = {name: value for name, value in known.items() if value}
    return {"result-type": seen.result, **told, "failed-session-count": sessions}


def _date(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
