"""TLS towards mail servers: any certificate is good enough to encrypt (RFC 7435), and what was seen is recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from OpenSSL import SSL
from service_identity.pyopenssl import verify_hostname
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from zope.interface import implementer

from postmeter.delivery.route import Host
from postmeter.delivery.tls_policy import EXPIRED, OTHER_NAME, HostPolicy

_PROBLEMS = {  # the most frequent ones of openssl-verification-options(1)
    2: "its issuer is not known",
    9: "it is not valid yet",
    10: EXPIRED,
    18: "it is self-signed",
    19: "its authority is not trusted",
    20: "its issuer is not known",
    21: "its issuer is not known",
    23: "it was revoked",
    66: "its key is too weak",
    67: "its authority's key is too weak",
    68: "its signature is too weak",
}
RESUMABLE = 3600.0  # seconds in which a session is resumed: what was found out about the certificate holds so long
MOST_RESUMABLE = 2_000


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """The protocol version (``TLSv1.3``), the cipher, and what is wrong with the certificate (empty: it is valid).

    ``matches``: it is one that the TLSA records of the mail server name. ``resumed``: an earlier session goes on, and
    what is said of the certificate was seen in that one.
    """

    version: str
    cipher: str
    problem: str
    matches: bool = False
    resumed: bool = False


def client_context() -> SSL.Context:
    """The context for all sessions; it knows the system's certificate authorities, but lets every certificate pass."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_default_verify_paths()
    return context


@dataclass(frozen=True, slots=True)
class _Kept:
    until: float
    session: SSL.Session
    facts: TlsFacts


class TlsSessions:
    """Sessions to resume: only with the same address, and under the same policy as the one that was judged.

    ``clock`` gives seconds. ``context`` is for all of them.
    """

    def __init__(self, clock: Callable[[], float], context: SSL.Context | None = None) -> None:
        self._clock = clock
        self.context = context or client_context()
        self._kept: dict[tuple[Host, HostPolicy], _Kept] = {}

    def client(self, host: Host, policy: HostPolicy) -> ClientTls:
        """The client's end of a new session."""
        return ClientTls(self, host, policy)

    def find(self, host: Host, policy: HostPolicy) -> _Kept | None:
        """The last session that can be resumed."""
        kept = self._kept.get((host, policy))
        return kept if kept is not None and self._clock() < kept.until else None

    def keep(self, host: Host, policy: HostPolicy, session: SSL.Session, facts: TlsFacts, until: float | None) -> None:
        """Keep a session that was found good, ``until`` when the one ends that it goes on with."""
        now, kept = self._clock(), self._kept
        kept.pop((host, policy), None)
        while kept and (len(kept) >= MOST_RESUMABLE or next(iter(kept.values())).until <= now):
            del kept[next(iter(kept))]
        until = now + RESUMABLE if until is None else until
        self._kept[host, policy] = _Kept(until, session, facts)


@implementer(IOpenSSLClientConnectionCreator)
class ClientTls:
    """The client's end of one TLS session with a mail server."""

    def __init__(self, sessions: TlsSessions, host: Host, policy: HostPolicy) -> None:
        self._sessions = sessions
        self._host = host
        self.policy = policy
        self._name = policy.tlsa.base if policy.tlsa else host.name
        self._earlier: _Kept | None = None
        self._looked_at = False  # by OpenSSL, which does not look again when a session is resumed
        self._problem = ""  # what is wrong with the chain of certificates, as far as that was found first
        self._facts: TlsFacts | None = None
        self._connection: SSL.Connection | None = None

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """See ``IOpenSSLClientConnectionCreator``."""
        self._connection = connection = SSL.Connection(self._sessions.context, None)
        connection.set_verify(SSL.VERIFY_PEER, self._note_verification)
        if (
            self._name.isascii() and not self._name[-1:].isdigit() and ":" not in self._name
        ):  # RFC 6066, 3: no addresses
            connection.set_tlsext_host_name(self._name.encode())
        self._earlier = self._sessions.find(self._host, self.policy)
        if self._earlier is not None:
            connection.set_session(self._earlier.session)
        return connection

    def facts(self) -> TlsFacts:
        """What was agreed on; after the handshake only."""
        if self._facts is None:
            assert self._connection is not None
            self._facts = self._seen(self._connection)
        return self._facts

    def keep(self) -> None:
        """The session is good: let the next one resume it. What that needs comes behind the handshake in TLS 1.3."""
        session = self._connection.get_session() if self._connection is not None else None
        if session is not None:
            until = self._earlier.until if self._earlier is not None and self.facts().resumed else None
            self._sessions.keep(self._host, self.policy, session, self.facts(), until)

    def _seen(self, connection: SSL.Connection) -> TlsFacts:
        version, cipher = connection.get_protocol_version_name(), connection.get_cipher_name() or ""
        if self._earlier is not None and not self._looked_at:
            return replace(self._earlier.facts, version=version, cipher=cipher, resumed=True)
        problem = self._problem or ("" if self._name_matches(connection) else OTHER_NAME)
        return TlsFacts(version, cipher, problem, self._is_named(connection))

    def _note_verification(self, _connection: Any, _certificate: Any, error: int, _depth: int, valid: int) -> bool:
        self._looked_at = True
        if not valid and not self._problem:
            self._problem = _PROBLEMS.get(error, f"OpenSSL's error {error}")
        return True

    def _name_matches(self, connection: SSL.Connection) -> bool:
        try:
            verify_hostname(connection, self._host.name)
        except Exception:  # no match, or a certificate that is none: all the same to us
            return False
        return True

    def _is_named(self, connection: SSL.Connection) -> bool:
        """By the mail server's TLSA records."""
        chain = connection.get_peer_cert_chain(as_cryptography=True) if self.policy.tlsa else None
        return self.policy.tlsa is not None and bool(chain) and self.policy.tlsa.matches(chain or ())
