"""Complaints: abuse reports in the Abuse Reporting Format (RFC 5965, 6650), each about one mail."""

from __future__ import annotations

import re
from dataclasses import dataclass

from postmeter.message.parts import Header, Mail, Part, split

REPORT = "message/feedback-report"
# What a person has said about a mail. Others are no complaints: not-spam (RFC 6430), auth-failure (RFC 6591), other.
COMPLAINTS = frozenset({"abuse", "fraud", "virus", "opt-out", "opt-out-list"})
ORIGINALS = ("message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers")

_ID = re.compile(r"\bby (\S{1,253}) with (?:ESMTPSA|UTF8SMTPSA) id ([0-9A-Z]{26});")
_ADDRESS = re.compile(r"[^\s<>\"(),:;]{1,64}@[A-Za-z0-9.-]{1,253}")


@dataclass(frozen=True, slots=True)
class Feedback:
    """A report about one mail (RFC 5965, 3): what the ``type`` is, who sent the mail and when that arrived.

    ``return_paths`` are those that the mail may have had, ``traces`` the (host name, id) of servers that took it in;
    ``recipients`` whom the reporter names, which is a hint and no proof.
    """

    type: str
    source_ip: str
    arrival_date: str
    agent: str
    return_paths: tuple[str, ...]
    traces: tuple[tuple[str, str], ...]
    recipients: tuple[str, ...]

    @property
    def complaint(self) -> bool:
        """Whether somebody does not want such mail."""
        return self.type in COMPLAINTS


def feedback(mail: Mail) -> Feedback | None:
    """The report in a mail; None when it is none."""
    report = next(mail.of(REPORT), None)
    if report is None:
        return None
    said = Header.read(report.body)
    original = _original(next(mail.of(*ORIGINALS), None))
    paths = (*said.all("original-mail-from"), *original.all("return-path"))
    named = (*said.all("original-rcpt-to"), *said.all("removal-recipient"))
    return Feedback(
        type=_word(said.get("feedback-type")),
        source_ip=said.get("source-ip")[:64],
        arrival_date=(said.get("arrival-date") or said.get("received-date"))[:64],
        agent=said.get("user-agent")[:200],
        return_paths=tuple(found for path in paths[:10] for found in _ADDRESS.findall(path[:1000])[:1]),
        traces=tuple(found for trace in original.all("received") for found in _ID.findall(trace[:2000])[:1])[:50],
        recipients=tuple(found for text in named[:50] for found in _ADDRESS.findall(text[:1000])[:1]),
    )


def _original(part: Part | None) -> Header:
    """The header section of the mail that the report is about."""
    if part is None:
        return Header({})
    octets = part.body.lstrip(b"\r\n")
    return Header.read(octets if part.type.endswith("headers") else split(octets)[0])


def _word(text: str) -> str:
    return text.partition(";")[0].strip().lower()[:40]
