"""TLS towards mail servers: any certificate is good enough to encrypt (RFC 7435), and what was seen is recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from OpenSSL import SSL
from service_identity.pyopenssl import verify_hostname
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from zope.interface import implementer

OTHER_NAME = "it is for another name"
_PROBLEMS = {  # the most frequent ones of openssl-verification-options(1)
    2: "its issuer is not known",
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed",
    19: "its authority is not trusted",
    20: "its issuer is not known",
    21: "its issuer is not known",
    23: "it was revoked",
    66: "its key is too weak",
    67: "its authority's key is too weak",
    68: "its signature is too weak",
}


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """The protocol version (``TLSv1.3``), the cipher, and what is wrong with the certificate (empty: it is valid)."""

    version: str
    cipher: str
    problem: str


def client_context() -> SSL.Context:
    """The context for all sessions; it knows the system's certificate authorities, but lets every certificate pass."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_default_verify_paths()
    return context


@implementer(IOpenSSLClientConnectionCreator)
class ClientTls:
    """The client's end of one TLS session with the host ``name``."""

    def __init__(self, context: SSL.Context, name: str) -> None:
        self._problem = ""  # what is wrong with the chain of certificates, as far as that was found first
        self._context = context
        self._name = name
        self._connection: SSL.Connection | None = None

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """See ``IOpenSSLClientConnectionCreator``."""
        self._connection = connection = SSL.Connection(self._context, None)
        connection.set_verify(SSL.VERIFY_PEER, self._note_verification)
        if (
            self._name.isascii() and not self._name[-1:].isdigit() and ":" not in self._name
        ):  # RFC 6066, 3: no addresses
            connection.set_tlsext_host_name(self._name.encode())
        return connection

    def facts(self) -> TlsFacts:
        """What was agreed on; after the handshake only."""
        assert self._connection is not None
        connection = self._connection
        problem = self._problem or ("" if self._name_matches(connection) else OTHER_NAME)
        return TlsFacts(connection.get_protocol_version_name(), connection.get_cipher_name() or "", problem)

    def _note_verification(self, _connection: Any, _certificate: Any, error: int, _depth: int, valid: int) -> bool:
        if not valid and not self._problem:
            self._problem = _PROBLEMS.get(error, f"OpenSSL's error {error}")
        return True

    def _name_matches(self, connection: SSL.Connection) -> bool:
        try:
            verify_hostname(connection, self._name)
        except Exception:  # no match, or a certificate that is none: all the same to us
            return False
        return True
