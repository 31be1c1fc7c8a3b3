"""Which TLSA records a mail server's certificates match, and which mean nothing to SMTP (RFC 6698; RFC 7672)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from postmeter.delivery.dane import Tlsa, TlsaRecord
from support.authority import Authority, Credential

OWN, FOREIGN = Authority("Own"), Authority("Foreign")
GOOD = OWN.issue("mx.good.test", "*.pool.good.test")
SUMS: dict[int, Callable[[bytes], bytes]] = {
    0: lambda octets: octets,
    1: lambda octets: hashlib.sha256(octets).digest(),
    2: lambda octets: hashlib.sha512(octets).digest(),
}


def record(certificate: x509.Certificate, usage: int, selector: int = 1, matching: int = 1) -> TlsaRecord:
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    chosen = key if selector else certificate.public_bytes(Encoding.DER)
    return TlsaRecord(usage, selector, matching, SUMS[matching](chosen))


def tlsa(*records: TlsaRecord, base: str = "mx.good.test", domain: str = "good.test") -> Tlsa:
    return Tlsa(base, 25, (base, domain), records)


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_a_record_names_a_certificate_or_its_key_whole_or_by_a_sum(selector: int, matching: int) -> None:
    other = OWN.issue("mx.good.test")
    for usage, named, wrong in ((3, GOOD.certificate, other.certificate), (2, OWN.root, FOREIGN.root)):
        assert tlsa(record(named, usage, selector, matching)).matches(GOOD.chain)
        assert not tlsa(record(wrong, usage, selector, matching)).matches(GOOD.chain)
        assert tlsa(record(wrong, usage), record(named, usage, selector, matching)).matches(GOOD.chain)


def test_of_a_certificate_that_is_named_itself_neither_name_nor_date_nor_issuer_matter() -> None:
    old = FOREIGN.issue("anything.test", days=-1)
    assert tlsa(record(old.certificate, 3)).matches(old.chain[:1])
    assert not tlsa(record(old.certificate, 3)).matches(GOOD.chain)


def test_a_renewed_certificate_of_the_same_key_is_named_by_the_key() -> None:
    renewed = OWN.issue("mx.good.test", key=GOOD.key)
    assert tlsa(record(GOOD.certificate, 3)).matches(renewed.chain)
    assert not tlsa(record(GOOD.certificate, 3, 0)).matches(renewed.chain)


@pytest.mark.parametrize(
    ("credential", "right"),
    [
        (OWN.issue("mx.good.test"), True),
        (OWN.issue("good.test"), True),
        (OWN.issue("*.good.test"), True),
        (OWN.issue("mx.other.test"), False),
        (OWN.issue("mx.good.test", days=-1), False),
        (FOREIGN.issue("mx.good.test"), False),
    ],
    ids=["host", "domain", "pattern", "other name", "expired", "other authority"],
)
def test_below_a_trust_anchor_name_date_and_signature_matter(credential: Credential, right: bool) -> None:
    assert tlsa(record(OWN.root, 2)).matches(credential.chain) is right


def test_an_anchor_that_the_server_does_not_show_counts_only_when_the_record_has_it_whole() -> None:
    assert not tlsa(record(OWN.root, 2)).matches(GOOD.chain[:1])
    assert tlsa(record(OWN.root, 2, 0, 0)).matches(GOOD.chain[:1])
    assert not tlsa(TlsaRecord(2, 0, 0, b"no certificate")).matches(GOOD.chain)


def test_an_anchor_in_the_chain_that_has_signed_nothing_of_it_is_none() -> None:
    assert not tlsa(record(FOREIGN.root, 2)).matches((*GOOD.chain, FOREIGN.root))


def test_a_certificate_without_names_is_for_nobody() -> None:
    root = Authority("Lonely")
    assert not tlsa(record(root.root, 2)).matches((root.root, root.root))
    assert not tlsa(record(root.root, 2)).matches(())


@pytest.mark.parametrize(
    ("usage", "selector", "matching", "data", "usable"),
    [
        (3, 1, 1, bytes(32), True),
        (2, 0, 2, bytes(64), True),
        (3, 0, 0, b"x", True),
        (0, 1, 1, bytes(32), False),
        (1, 1, 1, bytes(32), False),
        (4, 1, 1, bytes(32), False),
        (3, 2, 1, bytes(32), False),
        (3, 1, 3, bytes(32), False),
        (3, 1, 1, bytes(31), False),
        (3, 1, 2, bytes(32), False),
        (3, 0, 0, b"", False),
    ],
)
def test_only_what_smtp_knows_can_be_used(usage: int, selector: int, matching: int, data: bytes, usable: bool) -> None:
    assert TlsaRecord(usage, selector, matching, data).usable is usable


def test_a_certificate_with_a_key_of_an_unknown_kind_matches_nothing() -> None:
    known, unknown = bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06072a8648ce3d027f")
    octets = GOOD.certificate.public_bytes(Encoding.DER)
    odd = x509.load_der_x509_certificate(octets.replace(known, unknown))
    assert not tlsa(record(GOOD.certificate, 3)).matches((odd,))
    whole = TlsaRecord(3, 0, 0, odd.public_bytes(Encoding.DER))
    assert tlsa(record(GOOD.certificate, 3), whole).matches((odd,))
