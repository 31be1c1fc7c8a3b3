"""The server's certificates: configured or made once, chosen by name (SNI), loaded anew when their files change."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from postmeter.certificate_files import Source, private_key
from postmeter.config import Settings
from postmeter.errors import ConfigError
from postmeter.server import tickets
from postmeter.server.channel import Channel
from postmeter.server.self_signed import make

log = logging.getLogger(__name__)

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20"  # of TLS 1.2; those of 1.3 are all good
_NOT_A_PAIR = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


def files(settings: Settings) -> Source:
    """The certificate of all who ask for no other; one of our own is made in the data folder when it has none."""
    source = Source.first(settings)
    if not settings.smtp.certificate and not (source.certificate.exists() and source.key.exists()):
        make(source.certificate, source.key, settings.hostname)
    return source


def server_tls(settings: Settings, secret: bytes = b"", clock: Callable[[], float] = float) -> ServerTls:
    """TLS for all listeners; ConfigError says what is wrong with the first certificate or its key.

    Workers with the same ``secret`` and the same ``clock`` understand each other's session tickets.
    """
    return ServerTls([files(settings), *map(Source.of, settings.smtp.certificates)], secret, clock)


class ServerTls:
    """Begins TLS sessions; ``refresh`` loads changed files without touching the sessions that run.

    The first of the ``sources`` is needed, and ConfigError says what is wrong with it. Of the others, each that cannot
    be used is left out, or stays as it was, until its files change: one customer's certificate is not everybody's.
    """

    def __init__(self, sources: Sequence[Source], secret: bytes, clock: Callable[[], float]) -> None:
        self._sources = sources
        self._secret = secret
        self._clock = clock
        self._stamps = {sources[0]: _stamp(sources[0])}
        self._loaded = {sources[0]: _load(sources[0])}
        self._tickets = -1
        self.refresh()

    def channel(self) -> Channel:
        """TLS for a session that begins now."""
        return Channel(self._context)

    def refresh(self) -> bool:
        """Load the files anew that have changed; True if something new is in use."""
        changed = [source for source in self._sources if _stamp(source) != self._stamps.get(source)]
        new = [source for source in changed if self._look_at(source)]
        if new or self._tickets < 0:
            self._put_together()
        if new or self._tickets != tickets.epoch(self._clock()):
            self._share_tickets()
        return bool(new)

    def _look_at(self, source: Source) -> bool:
        self._stamps[source] = _stamp(source)
        before = source in self._loaded
        try:
            self._loaded[source] = _load(source)
        except ConfigError as error:
            log.error("%s; %s", error, "the one before stays in use" if before else "it is left out")
            return False
        log.log(logging.INFO if before else logging.DEBUG, "the certificate %s was loaded", source.certificate)
        return True

    def _put_together(self) -> None:
        named: dict[str, ssl.SSLContext] = {}
        for source in self._sources:
            if source in self._loaded:
                context, names = self._loaded[source]
                for name in names:
                    named.setdefault(name, context)
        self._context = self._loaded[self._sources[0]][0]
        self._context.sni_callback = _choosing(named) if len(self._sources) > 1 else None

    def _share_tickets(self) -> None:
        """Of the context that a session begins with: OpenSSL looks nowhere else for the keys."""
        self._tickets = tickets.epoch(self._clock())
        if self._secret and not tickets.share(self._context, self._secret, self._tickets):
            log.info("TLS session tickets are not shared by the workers: this Python hides OpenSSL's function for it")


def _choosing(named: Mapping[str, ssl.SSLContext]) -> Callable[[Any, str | None, ssl.SSLContext], None]:
    """Puts the context whose certificate has the name that the client asks for in place of the first one (RFC 6066)."""

    def choose(session: Any, name: str | None, _context: ssl.SSLContext) -> None:
        if name:
            name = name.lower()
            context = named.get(name) or named.get(f"*.{name.partition('.')[2]}")
            if context is not None:
                session.context = context

    return choose


Stamp = tuple[tuple[int, int] | str, ...]


def _stamp(source: Source) -> Stamp:
    """What changes when a file does; of one that cannot be read, why."""

    def of(path: Path) -> tuple[int, int] | str:
        try:
            status = path.stat()
        except OSError as error:
            return str(error.strerror)
        return status.st_mtime_ns, status.st_ino

    return of(source.certificate), of(source.key)


def _load(source: Source) -> tuple[ssl.SSLContext, list[str]]:
    """What serves the certificate, and its names; ConfigError says what is wrong."""
    names = _names(source)
    _check_key(source)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_COMPRESSION
    context.set_ciphers(CIPHERS)
    context.num_tickets = 1
    certificate, key = source.certificate, source.key
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        if error.reason in _NOT_A_PAIR:
            raise ConfigError(f"{source.key_setting}: {key} does not belong to {certificate}") from None
        raise ConfigError(f"{source.setting}: {certificate} cannot be used: {error.reason}") from None
    except OSError as error:
        raise ConfigError(f"{source.setting}: {certificate} cannot be read: {error.strerror}") from None
    return context, names


def _names(source: Source) -> list[str]:
    """The names that the certificate is for (RFC 6125, 6.4), in lower case; a wildcard as ``*.example.net``."""
    setting, path = source.setting, source.certificate
    try:
        certificate = x509.load_pem_x509_certificates(path.read_bytes())[0]
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    except x509.ExtensionNotFound:
        return []
    except OSError as error:
        raise ConfigError(f"{setting}: {path} cannot be read: {error.strerror}") from None
    except (ValueError, UnsupportedAlgorithm, x509.UnsupportedGeneralNameType):
        raise ConfigError(f"{setting}: {path} is not a PEM certificate chain") from None


def _check_key(source: Source) -> None:
    """ConfigError when it is none, or has a passphrase: OpenSSL would ask for that on the terminal."""
    try:
        private_key(source.key.read_bytes())
    except OSError as error:
        raise ConfigError(f"{source.key_setting}: {source.key} cannot be read: {error.strerror}") from None
    except TypeError:
        raise ConfigError(f"{source.key_setting}: {source.key} has a passphrase; give it without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"{source.key_setting}: {source.key} is not a private key in PEM form") from None
