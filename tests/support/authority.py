"""A certificate authority of the tests' own, the certificates it issues, and servers' ends of TLS with them."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from OpenSSL import SSL
from OpenSSL.crypto import X509, PKey
from twisted.internet.ssl import CertificateOptions, ContextFactory

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Credential:
    """A certificate with its key, and those it leads to, its own first."""

    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...]

    @property
    def certificate(self) -> x509.Certificate:
        """Its own."""
        return self.chain[0]

    def options(self, **given: Any) -> CertificateOptions:
        """A server's end of TLS that shows the whole chain; sessions can be resumed."""
        own, *others = map(X509.from_cryptography, self.chain)
        key = PKey.from_cryptography_key(self.key)
        return CertificateOptions(
            key, own, extraCertChain=others, enableSessions=True, enableSessionTickets=True, **given
        )

    def old_fashioned(self) -> ContextFactory:
        """A server's end of TLS that speaks nothing younger than TLS 1.0."""
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_cipher_list(b"ALL:@SECLEVEL=0")
        context.set_min_proto_version(SSL.TLS1_VERSION)
        context.set_max_proto_version(SSL.TLS1_VERSION)
        context.use_certificate(X509.from_cryptography(self.certificate))
        context.use_privatekey(PKey.from_cryptography_key(self.key))
        return _Fixed(context)

    def write(self, folder: Path) -> Path:
        """Chain and key in one file."""
        pem = b"".join(one.public_bytes(Encoding.PEM) for one in self.chain)
        pem += self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path = folder / f"{self.certificate.serial_number}.pem"
        path.write_bytes(pem)
        return path


class _Fixed(ContextFactory):
    def __init__(self, context: SSL.Context) -> None:
        self._context = context

    def getContext(self) -> SSL.Context:
        return self._context


class Authority:
    """Issues certificates; ``root`` is what has to be trusted for that."""

    def __init__(self, name: str = "Test Authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = name
        self.root = _certificate(name, self._key, name, self._key, (), authority=True)

    def issue(self, *names: str, days: int = 30, key: ec.EllipticCurvePrivateKey | None = None) -> Credential:
        """A certificate for these names that ends in so many days (negative: it has ended)."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        issuer = self.root.subject.rfc4514_string().removeprefix("CN=")
        made = _certificate(names[0], key, issuer, self._key, names, days=days)
        return Credential(key, (made, self.root))

    def write(self, folder: Path) -> Path:
        """The root in a file."""
        path = folder / f"{self.root.serial_number}-root.pem"
        path.write_bytes(self.root.public_bytes(Encoding.PEM))
        return path


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    names: tuple[str, ...],
    *,
    days: int = 3650,
    authority: bool = False,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 400 * DAY)
        .not_valid_after(now + days * DAY)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(map(x509.DNSName, names))), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())
