"""The server's certificates: configured or made once, chosen by name (SNI), loaded anew when their files change."""

from __future__ import annotations

import logging
import os
import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from postmeter.config import Settings
from postmeter.errors import ConfigError
from postmeter.server import tickets
from postmeter.server.channel import Channel
from postmeter.server.self_signed import make

log = logging.getLogger(__name__)

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20"  # of TLS 1.2; those of 1.3 are all good
_BEGIN_KEY = re.compile(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a certificate is: its chain and its key, and the settings that name them."""

    certificate: Path
    key: Path
    setting: str = "smtp.certificate"
    key_setting: str = "smtp.private_key"

    @classmethod
    def of(cls, place: str) -> Source:
        """What ``smtp.certificates`` names: a file that holds both, or a folder as certbot makes it."""
        path, setting = Path(place), "smtp.certificates"
        if path.is_dir():
            return cls(path / "fullchain.pem", path / "privkey.pem", setting, setting)
        return cls(path, path, setting, setting)


def files(settings: Settings) -> Source:
    """The certificate of all who ask for no other: as configured, or in the data folder (made there when absent)."""
    smtp = settings.smtp
    if smtp.certificate:
        return Source(Path(smtp.certificate), Path(smtp.private_key or smtp.certificate))
    source = Source(settings.data / "certificate.pem", settings.data / "certificate.key")
    if not (source.certificate.exists() and source.key.exists()):
        make(source.certificate, source.key, settings.hostname)
    return source


def server_tls(settings: Settings, secret: bytes = b"", clock: Callable[[], float] = float) -> ServerTls:
    """TLS for all listeners; ConfigError says what is wrong with a certificate or a key.

    Workers with the same ``secret`` and the same ``clock`` understand each other's session tickets.
    """
    return ServerTls([files(settings), *map(Source.of, settings.smtp.certificates)], secret, clock)


class ServerTls:
    """Begins TLS sessions; ``refresh`` loads changed files without touching the sessions that run."""

    def __init__(self, sources: Iterable[Source], secret: bytes, clock: Callable[[], float]) -> None:
        self._sources = list(sources)
        self._secret = secret
        self._clock = clock
        self._load()

    def channel(self) -> Channel:
        """TLS for a session that begins now."""
        return Channel(self._context)

    def refresh(self) -> bool:
        """Load the files anew if they have changed; True if they were. ConfigError leaves the old ones in use."""
        if self._stamp != [_stamp(source) for source in self._sources]:
            self._load()
            return True
        if self._tickets != tickets.epoch(self._clock()):
            self._share_tickets()
        return False

    def _load(self) -> None:
        stamp = [_stamp(source) for source in self._sources]
        contexts = [_context(source) for source in self._sources]
        default = contexts[0]
        named: dict[str, ssl.SSLContext] = {}
        for source, context in zip(self._sources, contexts, strict=True):
            for name in _names(source):
                named.setdefault(name, context)
        default.sni_callback = _choosing(named)
        self._stamp, self._context = stamp, default
        self._share_tickets()

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


def _names(source: Source) -> list[str]:
    """The names that the certificate is for (RFC 6125, 6.4), in lower case; a wildcard as ``*.example.net``."""
    certificate = x509.load_pem_x509_certificates(source.certificate.read_bytes())[0]
    with suppress(x509.ExtensionNotFound):
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    return []


def _stamp(source: Source) -> tuple[tuple[int, int], ...]:
    stamp = []
    for setting, path in ((source.setting, source.certificate), (source.key_setting, source.key)):
        try:
            status = os.stat(path)
        except OSError as error:
            raise ConfigError(f"{setting}: {path} cannot be read: {error.strerror}") from None
        stamp.append((status.st_mtime_ns, status.st_ino))
    return tuple(stamp)


def _context(source: Source) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_COMPRESSION
    context.set_ciphers(CIPHERS)
    context.num_tickets = 1
    certificate, key = source.certificate, source.key
    try:
        x509.load_pem_x509_certificates(certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{source.setting}: {certificate} is not a PEM certificate chain: {error}") from None
    _check_key(source)
    try:
        context.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", "") or error
        raise ConfigError(f"{source.key_setting}: {key} does not belong to {certificate}: {reason}") from None
    return context


def _check_key(source: Source) -> None:
    """ConfigError when it is none, or has a passphrase: OpenSSL would ask for that on the terminal."""
    try:
        private_key(source.key.read_bytes())
    except OSError as error:
        raise ConfigError(f"{source.key_setting}: {source.key} cannot be read: {error.strerror}") from None
    except TypeError:
        raise ConfigError(f"{source.key_setting}: {source.key} has a passphrase; give it without one") from None
    except ValueError:
        raise ConfigError(f"{source.key_setting}: {source.key} is not a private key in PEM form") from None


def private_key(pem: bytes) -> Any:
    """The first private key in ``pem``, which may hold certificates too; ValueError, or TypeError for a sealed one."""
    begin = _BEGIN_KEY.search(pem)
    return serialization.load_pem_private_key(pem[begin.start() :] if begin else pem, None)
