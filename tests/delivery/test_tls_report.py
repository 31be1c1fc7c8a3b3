"""A report about TLS says what RFC 8460 asks for, and goes where a domain's record says."""

from __future__ import annotations

import email
import gzip
import json
from datetime import datetime, timedelta
from email import policy
from email.message import EmailMessage
from typing import Any

import pytest

from postmeter.delivery.tls_report import Report, destinations, mailbox
from postmeter.store.tls_reports import DAY, Seen

TODAY = 20_000 * DAY
STS = ("sts", "version: STSv1", "mode: enforce", "mx: *.good.test", "mx: mx.other.test", "max_age: 86400")
TLSA = ("tlsa", "_25._tcp.mx.good.test. IN TLSA 3 1 1 00")
HOST = ("192.0.2.1", "mx.good.test", "198.51.100.7")
SESSIONS = {
    Seen(TODAY, "good.test", STS): 5,
    Seen(TODAY, "good.test", STS, "certificate-expired", "it has expired", *HOST): 2,
    Seen(TODAY, "good.test", STS, "certificate-expired", "it has expired", "2001:db8::1", *HOST[1:]): 1,
    Seen(TODAY, "good.test", TLSA): 7,
    Seen(TODAY, "good.test", ("sts",), "sts-policy-fetch-error", "the web server answers 404"): 1,
    Seen(TODAY, "good.test", ("no-policy-found",), "starttls-not-supported", "not offered", *HOST): 3,
}
REPORT = Report("relay.test", "good.test", TODAY, SESSIONS)

RESULTS = {  # RFC 8460, 4.3 and 6.6: the registry
    *("starttls-not-supported", "certificate-host-mismatch", "certificate-expired", "certificate-not-trusted"),
    *("validation-failure", "tlsa-invalid", "dnssec-invalid", "dane-required"),
    *("sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid"),
}
REQUIRED, OPTIONAL = True, False
Rule = tuple[type, bool]
TOP: dict[str, Rule] = {  # RFC 8460, 4.4: the members of each object
    "organization-name": (str, REQUIRED),
    "date-range": (dict, REQUIRED),
    "contact-info": (str, REQUIRED),
    "report-id": (str, REQUIRED),
    "policies": (list, REQUIRED),
}
RANGE: dict[str, Rule] = {"start-datetime": (str, REQUIRED), "end-datetime": (str, REQUIRED)}
ENTRY: dict[str, Rule] = {"policy": (dict, REQUIRED), "summary": (dict, REQUIRED), "failure-details": (list, OPTIONAL)}
POLICY: dict[str, Rule] = {
    "policy-type": (str, REQUIRED),
    "policy-string": (list, OPTIONAL),
    "policy-domain": (str, REQUIRED),
    "mx-host": (list, OPTIONAL),
}
SUMMARY: dict[str, Rule] = {
    "total-successful-session-count": (int, REQUIRED),
    "total-failure-session-count": (int, REQUIRED),
}
FAILURE: dict[str, Rule] = {
    "result-type": (str, REQUIRED),
    "sending-mta-ip": (str, OPTIONAL),
    "receiving-mx-hostname": (str, OPTIONAL),
    "receiving-mx-helo": (str, OPTIONAL),
    "receiving-ip": (str, OPTIONAL),
    "failed-session-count": (int, REQUIRED),
    "additional-information": (str, OPTIONAL),
    "failure-reason-code": (str, OPTIONAL),
}


def obey(value: Any, rules: dict[str, Rule]) -> None:
    """AssertionError unless an object has the members it must have, and no other."""
    assert isinstance(value, dict)
    assert set(value) <= set(rules)
    assert {name for name, (_, needed) in rules.items() if needed} <= set(value)
    for name, member in value.items():
        assert type(member) is rules[name][0], name


def check(body: Any) -> None:
    """AssertionError unless it is a report by the rules of RFC 8460, 4.4."""
    obey(body, TOP)
    obey(body["date-range"], RANGE)
    for name in RANGE:
        assert datetime.fromisoformat(body["date-range"][name]).utcoffset() == timedelta()
    for entry in body["policies"]:
        obey(entry, ENTRY)
        obey(entry["policy"], POLICY)
        obey(entry["summary"], SUMMARY)
        assert entry["policy"]["policy-type"] in ("tlsa", "sts", "no-policy-found")
        assert all(isinstance(line, str) for line in entry["policy"].get("policy-string", []))
        assert all(isinstance(host, str) for host in entry["policy"].get("mx-host", []))
        for failure in entry["failure-details"]:
            obey(failure, FAILURE)
            assert failure["result-type"] in RESULTS
        failed = sum(failure["failed-session-count"] for failure in entry["failure-details"])
        assert failed == entry["summary"]["total-failure-session-count"]


def test_a_report_has_the_form_that_the_rfc_demands() -> None:
    check(json.loads(gzip.decompress(REPORT.packed)))
    check(json.loads(json.dumps(Report("relay.test", "good.test", TODAY, {}).body)))


def test_a_report_has_an_entry_for_each_policy_and_a_line_for_each_kind_of_failure() -> None:
    entries = {
        (entry["policy"]["policy-type"], len(entry["policy"]["policy-string"])): entry
        for entry in REPORT.body["policies"]
    }
    assert set(entries) == {("sts", 5), ("tlsa", 1), ("sts", 0), ("no-policy-found", 0)}
    kept = entries["sts", 5]
    assert kept["policy"]["mx-host"] == ["*.good.test", "mx.other.test"]
    assert kept["summary"] == {"total-successful-session-count": 5, "total-failure-session-count": 3}
    assert {
        "result-type": "certificate-expired",
        "sending-mta-ip": "192.0.2.1",
        "receiving-mx-hostname": "mx.good.test",
        "receiving-ip": "198.51.100.7",
        "failure-reason-code": "it has expired",
        "failed-session-count": 2,
    } in kept["failure-details"]
    assert entries["tlsa", 1]["policy"]["policy-string"] == ["_25._tcp.mx.good.test. IN TLSA 3 1 1 00"]
    assert entries["tlsa", 1]["failure-details"] == []
    domains = {kind: entry["policy"]["policy-domain"] for (kind, _), entry in entries.items()}
    assert domains == {"sts": "good.test", "tlsa": "mx.good.test", "no-policy-found": "good.test"}


def test_a_report_is_about_one_day_and_the_same_whoever_makes_it() -> None:
    assert REPORT.body["date-range"] == {
        "start-datetime": "2024-10-04T00:00:00Z",
        "end-datetime": "2024-10-04T23:59:59Z",
    }
    assert REPORT.identifier == "2024-10-04.good.test@relay.test"
    assert REPORT.packed == Report("relay.test", "good.test", TODAY, dict(reversed(SESSIONS.items()))).packed


def test_the_mail_that_brings_a_report_says_so_in_its_header() -> None:
    mail = email.message_from_bytes(REPORT.mail().as_bytes(policy=policy.SMTP), policy=policy.default)
    assert isinstance(mail, EmailMessage)
    assert (mail["TLS-Report-Domain"], mail["TLS-Report-Submitter"]) == ("good.test", "relay.test")
    assert mail["TLS-Required"] == "No"
    assert (mail.get_content_type(), mail.get_param("report-type")) == ("multipart/report", "tlsrpt")
    assert mail["Subject"] == (
        "Report Domain: good.test Submitter: relay.test Report-ID: <2024-10-04.good.test@relay.test>"
    )
    text, report = mail.iter_parts()
    assert (text.get_content_type(), report.get_content_type()) == ("text/plain", "application/tlsrpt+gzip")
    assert report.get_filename() == f"relay.test!good.test!{TODAY}!{TODAY + DAY - 1}.json.gz"
    assert json.loads(gzip.decompress(report.get_content())) == REPORT.body


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (["v=TLSRPTv1; rua=mailto:tls@good.test"], ("mailto:tls@good.test",)),
        (["v=TLSRPTv1;rua=https://good.test/tls"], ("https://good.test/tls",)),
        (["v=TLSRPTv1; x=y; rua=mailto:a@b.test , https://b.test/;"], ("mailto:a@b.test", "https://b.test/")),
        (["v=spf1", "v=TLSRPTv1; rua=mailto:a@b.test"], ("mailto:a@b.test",)),
        (["v=TLSRPTv1; rua=mailto:a@b.test", "v=TLSRPTv1; rua=mailto:c@b.test"], ()),
        (["v=TLSRPTv1; rua=http://b.test/,ftp://b.test/"], ()),
        (
            ["v=TLSRPTv1; rua=" + ",".join(f"mailto:{n}@b.test" for n in range(9))],
            tuple(f"mailto:{n}@b.test" for n in range(5)),
        ),
        (["v=TLSRPTv1; rua=mailto:a@b.test,mailto:a@b.test"], ("mailto:a@b.test",)),
        (["v=TLSRPTv1;"], ()),
        (["v=TLSRPTv2; rua=mailto:a@b.test"], ()),
        ([], ()),
    ],
)
def test_the_one_valid_record_says_where_reports_go(texts: list[str], wanted: tuple[str, ...]) -> None:
    assert destinations(texts) == wanted


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("mailto:tls@good.test", "tls@good.test"),
        ("MAILTO:t%2Bls@good.test?subject=x", "t+ls@good.test"),
        ("https://good.test/", ""),
    ],
)
def test_an_address_is_read_out_of_a_uri(uri: str, address: str) -> None:
    assert mailbox(uri) == address
