"""DANE for SMTP (RFC 7672): which TLSA records can be used, and whether a server's certificates match one of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL.crypto import X509, Error, X509Store, X509StoreContext, X509StoreContextError, X509StoreFlags
from service_identity.cryptography import extract_patterns
from service_identity.exceptions import CertificateError, VerificationError
from service_identity.hazmat import DNS_ID, verify_service_identity

TRUST_ANCHOR, END_ENTITY = 2, 3  # the usages that mail servers may have (RFC 7672, 3.1)
MOST_RECORDS = 20
NO_MATCH = "The certificate of the mail server matches none of its TLSA records (DANE)"

_CHOSEN: dict[int, Callable[[x509.Certificate], bytes]] = {  # RFC 6698, 2.1.2: the selector
    0: lambda certificate: certificate.public_bytes(Encoding.DER),
    1: lambda certificate: certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
}
_SUMS: dict[int, Callable[[bytes], bytes]] = {  # RFC 6698, 2.1.3: the matching type
    0: lambda octets: octets,
    1: lambda octets: hashlib.sha256(octets).digest(),
    2: lambda octets: hashlib.sha512(octets).digest(),
}
_LENGTHS = {1: 32, 2: 64}


@dataclass(frozen=True, slots=True)
class TlsaRecord:
    """Usage, selector, matching type and the data to compare with (RFC 6698, 2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes

    @property
    def usable(self) -> bool:
        """Whether a client of SMTP can go by it: usages 0 and 1 mean nothing here (RFC 7672, 3.1.3)."""
        known = self.usage in (TRUST_ANCHOR, END_ENTITY) and self.selector in _CHOSEN and self.matching in _SUMS
        return known and bool(self.data) and len(self.data) == _LENGTHS.get(self.matching, len(self.data))

    def fits(self, certificate: x509.Certificate) -> bool:
        """Whether this certificate, or its key, is the one that the record names."""
        try:
            chosen = _CHOSEN[self.selector](certificate)
        except (UnsupportedAlgorithm, ValueError):  # a key of a kind that nobody knows
            return False
        return _SUMS[self.matching](chosen) == self.data

    def __str__(self) -> str:
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex()}"


@dataclass(frozen=True, slots=True)
class Tlsa:
    """The authentic records of one mail server that can be used; none: encrypt, whoever it is (RFC 7672, 2.2).

    ``base`` is the name they were found under, and which the server is asked to show a certificate for; ``names`` are
    those that a certificate may be for when a trust anchor is named (RFC 7672, 3.2.2). ``failed``: the DNS gives no
    answer, so nobody knows.
    """

    base: str
    port: int
    names: tuple[str, ...] = ()
    records: tuple[TlsaRecord, ...] = ()
    failed: bool = False

    @classmethod
    def of(cls, base: str, port: int, names: Iterable[str], records: Iterable[Any]) -> Tlsa:
        """From what the DNS has (``dns.rdtypes.ANY.TLSA.TLSA``)."""
        read = (TlsaRecord(one.usage, one.selector, one.mtype, one.cert) for one in records)
        usable = sorted((one for one in read if one.usable), key=str)
        return cls(base, port, tuple(dict.fromkeys((base, *names))), tuple(usable[:MOST_RECORDS]))

    @property
    def anchored(self) -> bool:
        """Whether a record names a trust anchor, so that it matters what the certificate is for."""
        return any(one.usage == TRUST_ANCHOR for one in self.records)

    def matches(self, chain: Sequence[x509.Certificate]) -> bool:
        """Whether the certificates that a server has shown, its own first, match one of the records.

        Names and dates of a certificate that is named itself do not matter (RFC 7672, 3.1.1).
        """
        if not chain:
            return False
        return any(
            one.fits(chain[0]) if one.usage == END_ENTITY else self._leads_to(one, chain) for one in self.records
        )

    def _leads_to(self, record: TlsaRecord, chain: Sequence[x509.Certificate]) -> bool:
        anchors = [one for one in chain[1:] if record.fits(one)]
        if not anchors and (record.selector, record.matching) == (0, 0):  # the record itself has it
            anchors = _certificates(record.data)
        return any(_is_for(chain[0], name) for name in self.names) and any(_verifies(chain, one) for one in anchors)


def _certificates(data: bytes) -> list[x509.Certificate]:
    try:
        return [x509.load_der_x509_certificate(data)]
    except ValueError:
        return []


def _verifies(chain: Sequence[x509.Certificate], anchor: x509.Certificate) -> bool:
    """Whether the first certificate was issued, directly or not, by the anchor, and none of them is out of date."""
    own, *others = map(X509.from_cryptography, chain)
    store = X509Store()
    try:
        store.add_cert(X509.from_cryptography(anchor))
        store.set_flags(X509StoreFlags.PARTIAL_CHAIN)  # the anchor need not be a root
        X509StoreContext(store, own, others).verify_certificate()
    except (X509StoreContextError, Error):
        return False
    return True


def _is_for(certificate: x509.Certificate, name: str) -> bool:
    try:
        verify_service_identity(extract_patterns(certificate), [DNS_ID(name)], [])
    except (VerificationError, CertificateError, x509.DuplicateExtension, ValueError):
        return False  # it is for others, or says for whom in a way that cannot be read
    return True
