"""TLS towards mail servers: any certificate is good enough to encrypt (RFC 7435), and what was seen is recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from OpenSSL import SSL
from service_identity.pyopenssl import verify_hostname
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from zope.interface import implementer


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """The protocol version (``TLSv1.3``), the cipher, and whether the certificate is valid for the host's name."""

    version: str
    cipher: str
    verified: bool


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
        self._chain_valid = True
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
        verified = self._chain_valid and self._name_matches(connection)
        return TlsFacts(connection.get_protocol_version_name(), connection.get_cipher_name() or "", verified)

    def _note_verification(self, _connection: Any, _certificate: Any, _error: int, _depth: int, valid: int) -> bool:
        self._chain_valid = self._chain_valid and bool(valid)
        return True

    def _name_matches(self, connection: SSL.Connection) -> bool:
        try:
            verify_hostname(connection, self._name)
        except Exception:  # no match, or a certificate that is none: all the same to us
            return False
        return True
