"""DKIM signatures: relaxed/relaxed, oversigned, one per key, the same bytes for the same time (RFC 6376, RFC 8463).

dkimpy reads key records and proves the signatures in the tests. Signing is done here, because its body canonicalisation
takes quadratic time, its RSA is pure Python, and it raises errors of other kinds on malformed header sections.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from dkim.util import InvalidTagValueList, parse_tag_value

from postmeter.message.canonical import body_hash, relaxed_field
from postmeter.message.header import LINE_LENGTH, HeaderSection

RSA = "rsa-sha256"
ED25519 = "ed25519-sha256"
RSA_BITS = range(2048, 4097)  # RFC 8301, 3.2: what every verifier can check, without what is too weak to make anew

# Signed once more than they occur, so that none can be added afterwards (RFC 6376, 8.15; RFC 8058, 4).
OVERSIGNED = (
    b"From", b"Subject", b"Date", b"To", b"Cc", b"Reply-To", b"Message-ID",
    b"MIME-Version", b"Content-Type", b"Content-Transfer-Encoding",
    b"List-Help", b"List-Unsubscribe", b"List-Unsubscribe-Post",
    b"Feedback-ID", b"X-CSA-Complaints", b"CFBL-Address",
)  # fmt: skip
# Signed as often as they occur; one more may be added on the way (RFC 6376, 5.4.1).
SIGNED = (b"Sender", b"In-Reply-To", b"References")

_LABELS = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*+")
_PADDING, _PREHASHED = padding.PKCS1v15(), Prehashed(hashes.SHA256())


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with the place where its public half is published: ``domain`` (d=) and ``selector`` (s=)."""

    domain: str
    selector: str
    algorithm: str
    private: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey = field(repr=False, compare=False)

    @classmethod
    def load(cls, domain: str, selector: str, algorithm: str, pem: bytes, *, proven: bool = False) -> SigningKey:
        """The key in ``pem`` (PKCS#8 or PKCS#1, not encrypted), parsed once; ValueError with a sentence otherwise.

        ``proven``: it was loaded before and kept safe since, so its numbers need no proof (which takes 36 ms).
        """
        for name in (domain, selector):
            if not _LABELS.fullmatch(name) or len(name) > 253:
                raise ValueError(f"{name[:60]!r} is not a domain or selector in lower case.")
        try:
            private = serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=proven)
        except TypeError:
            raise ValueError("The private key is encrypted; give it without a passphrase.") from None
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError("This is not a private key in PEM form (PKCS#8 or PKCS#1).") from None
        if algorithm == RSA and isinstance(private, rsa.RSAPrivateKey):
            if private.key_size not in RSA_BITS:
                raise ValueError(f"The RSA key has {private.key_size} bits; 2048 to 4096 are needed.")
            return cls(domain, selector, algorithm, private)
        if algorithm == ED25519 and isinstance(private, ed25519.Ed25519PrivateKey):
            return cls(domain, selector, algorithm, private)
        raise ValueError(f"The private key is not one for {algorithm}; {RSA} and {ED25519} can be used.")

    @property
    def dns_name(self) -> str:
        """Where the public key is published (RFC 6376, 3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain}"

    def dns_value(self) -> str:
        """The TXT record's text (RFC 6376, 3.6.1; RFC 8463, 4)."""
        return f"v=DKIM1; k={self.algorithm.partition('-')[0]}; p={self._public()}"

    def fault_in(self, record: str) -> str:
        """What is wrong with this TXT text found under ``dns_name``, as a sentence; empty when it publishes the key."""
        try:
            tags = parse_tag_value(record.encode())
        except InvalidTagValueList:
            return "The record is not a DKIM key record."
        published = b"".join(tags.get(b"p", b"").split())
        if tags.get(b"v", b"DKIM1") != b"DKIM1" or b"p" not in tags:
            return "The record is not a DKIM key record."
        if not published:
            return "The key was revoked: the record has an empty p=."
        if tags.get(b"k", b"rsa").decode("utf-8", "replace") != self.algorithm.partition("-")[0]:
            return "The record is for another kind of key (k=)."
        return "" if published == self._public().encode() else "The record has another key (p=)."

    def sign_digest(self, digest: bytes) -> bytes:
        """The signature over a SHA-256 digest; lets go of the interpreter's lock meanwhile."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(digest, _PADDING, _PREHASHED)
        return self.private.sign(digest)

    def _public(self) -> str:
        public = self.private.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            octets = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        else:
            octets = public.public_bytes_raw()
        return base64.b64encode(octets).decode()


def generate(algorithm: str) -> bytes:
    """A new private key as PKCS#8 PEM: RSA with 2048 bits or Ed25519."""
    private: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
    if algorithm == RSA:
        private = rsa.generate_private_key(65537, RSA_BITS.start)
    elif algorithm == ED25519:
        private = ed25519.Ed25519PrivateKey.generate()
    else:
        raise ValueError(f"No such algorithm: {algorithm[:60]!r}; {RSA} and {ED25519} can be used.")
    form = serialization.PrivateFormat.PKCS8
    return private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def sign(
    head: bytes | HeaderSection, body: bytes | Iterable[bytes], keys: Sequence[SigningKey], timestamp: int
) -> bytes:
    """The DKIM-Signature fields to put in front of the content, one per key in the order of ``keys``.

    ``timestamp`` (t=, seconds since 1970) comes from the caller, so that signing again gives the same bytes. Body and
    fields are hashed once for all keys. Refused when ``head`` is given as bytes and is not a header section.
    """
    section = head if isinstance(head, HeaderSection) else HeaderSection.read(head)
    names, fields = _chosen(section)
    middle = f" h={_folded_names(names)};\r\n bh={_base64(body_hash(body))};\r\n b="
    hashed = hashlib.sha256(fields)
    return b"".join([_signature(key, timestamp, middle, hashed.copy()) for key in keys])


def _signature(key: SigningKey, timestamp: int, middle: str, hashed: hashlib._Hash) -> bytes:
    fold = ";\r\n s=" if len(key.domain) + len(key.selector) > LINE_LENGTH - 10 else "; s="
    text = (
        f"DKIM-Signature: v=1; a={key.algorithm}; c=relaxed/relaxed; t={timestamp};\r\n"
        f" d={key.domain}{fold}{key.selector};\r\n{middle}"
    )
    hashed.update(relaxed_field(text.encode("ascii"))[:-2])  # RFC 6376, 3.7: with an empty b= and without CRLF
    value = _base64(key.sign_digest(hashed.digest()))
    lines = [value[place : place + 72] for place in range(0, len(value), 72)]
    return (text + "\r\n ".join(lines) + "\r\n").encode("ascii")


def _chosen(section: HeaderSection) -> tuple[tuple[bytes, ...], bytes]:
    """The names for h= and the canonical fields in that order, of each name the lowest first (RFC 6376, 5.4.2)."""
    found: dict[bytes, list[bytes]] = {}
    for one in reversed(section.fields):
        if one.name in _SIGNED_NAMES:
            found.setdefault(one.name, []).append(relaxed_field(one.raw))
    names: list[bytes] = []
    fields: list[bytes] = []
    for name, lower, more in _ORDER:
        present = found.get(lower, ())
        fields += present
        names += [name] * (len(present) + more)
    return tuple(names), b"".join(fields)


_ORDER = [(name, name.lower(), 1) for name in OVERSIGNED] + [(name, name.lower(), 0) for name in SIGNED]
_SIGNED_NAMES = frozenset(lower for _, lower, _ in _ORDER)


@lru_cache(maxsize=256)
def _folded_names(names: tuple[bytes, ...]) -> str:
    """The names with colons between, folded only behind a colon, where blanks are allowed (RFC 6376, 3.5, h=)."""
    lines = [""]
    for name in names:
        text = name.decode() + ":"
        if len(lines[-1]) + len(text) > LINE_LENGTH - 6:
            lines.append("")
        lines[-1] += text
    return "\r\n  ".join(lines)[:-1]


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")
