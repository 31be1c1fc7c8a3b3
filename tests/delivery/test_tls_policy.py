"""What a session must have, by who asks for it; and what is wrong with the one that there is."""

from __future__ import annotations

from typing import Literal

import pytest

from postmeter.delivery.client_tls import TlsFacts
from postmeter.delivery.dane import Tlsa, TlsaRecord
from postmeter.delivery.mta_sts import StsPolicy
from postmeter.delivery.tls_policy import EXPIRED, OTHER_NAME, HostPolicy, TlsPolicy

MX = "mx.good.test"
ENFORCED, TESTED = (StsPolicy(mode, ("*.good.test",), 60) for mode in ("enforce", "testing"))
NAMED = Tlsa(MX, 25, (MX,), (TlsaRecord(3, 1, 1, bytes(32)),))
UNUSABLE, FAILED = Tlsa(MX, 25), Tlsa(MX, 25, failed=True)


def facts(problem: str = "", version: str = "TLSv1.3", *, matches: bool = False) -> TlsFacts:
    return TlsFacts(version, "a cipher", problem, matches)


@pytest.mark.parametrize(
    ("policy", "tlsa", "level"),
    [
        (TlsPolicy(), None, "opportunistic"),
        (TlsPolicy(sts=TESTED), None, "opportunistic"),
        (TlsPolicy(required=True), None, "required"),
        (TlsPolicy(required=True, sts=TESTED), None, "required"),
        (TlsPolicy(sts=ENFORCED), None, "sts"),
        (TlsPolicy(required=True, sts=ENFORCED), None, "sts"),
        (TlsPolicy(dane=True), NAMED, "dane"),
        (TlsPolicy(dane=True, sts=ENFORCED), NAMED, "dane"),
        (TlsPolicy(dane=True, sts=ENFORCED), FAILED, "dane"),
        (TlsPolicy(dane=True), UNUSABLE, "required"),
        (TlsPolicy(dane=True, sts=ENFORCED), UNUSABLE, "sts"),
    ],
)
def test_the_strictest_counts_and_dane_before_mta_sts(policy: TlsPolicy, tlsa: Tlsa | None, level: str) -> None:
    assert policy.of(MX, tlsa).level == level


@pytest.mark.parametrize(
    ("tls", "result"),
    [
        (facts(), ""),
        (facts(version="TLSv1.2"), ""),
        (facts(version="TLSv1.1"), "validation-failure"),
        (facts(EXPIRED), "certificate-expired"),
        (facts(OTHER_NAME), "certificate-host-mismatch"),
        (facts("it is self-signed"), "certificate-not-trusted"),
    ],
)
@pytest.mark.parametrize("sts", [ENFORCED, TESTED])
def test_mta_sts_asks_for_a_valid_certificate_and_a_version_that_is_not_old(
    tls: TlsFacts, result: str, sts: StsPolicy
) -> None:
    flaw = TlsPolicy(sts=sts).of(MX, None).flaw(tls)
    assert (flaw.result if flaw else "") == result
    if flaw is not None:
        assert (flaw.reply.code, flaw.reply.status) == (451, "4.7.5")


def test_dane_asks_for_the_right_certificate_and_for_nothing_else() -> None:
    policy = TlsPolicy(dane=True, sts=ENFORCED).of("mx.other.test", NAMED)
    assert policy.flaw(facts("it is self-signed", "TLSv1.1", matches=True)) is None
    flaw = policy.flaw(facts())
    assert flaw is not None
    assert policy.barred is None


@pytest.mark.parametrize("level", ["opportunistic", "required"])
def test_without_a_policy_any_certificate_will_do(level: Literal["opportunistic", "required"]) -> None:
    policy = HostPolicy(MX, level)
    assert policy.flaw(facts("it is self-signed", "TLSv1.1")) is None
    assert (policy.strict, policy.authenticates, policy.barred) == (False, False, None)


def test_a_session_that_could_never_be_right_is_not_begun() -> None:
    foreign = TlsPolicy(sts=ENFORCED).of("mx.other.test", None).barred
    unknown = TlsPolicy(dane=True).of(MX, FAILED).barred
    assert foreign is not None
    assert unknown is not None
    assert (foreign.result, unknown.result) == ("validation-failure", "dnssec-invalid")


def test_a_report_has_the_policy_in_its_own_words() -> None:
    assert TlsPolicy().of(MX, None).told == ("no-policy-found",)
    assert TlsPolicy(sts=TESTED).of(MX, None).told == ("sts", *TESTED.lines)
    assert TlsPolicy(sts=TESTED).of(MX, NAMED).told == ("tlsa", f"_25._tcp.{MX}. IN TLSA 3 1 1 {'00' * 32}")
