"""The server's certificate: configured or made once, loaded anew when its files change, for TLS 1.2 and above."""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.ssl import ContextFactory

from postmeter.config import Settings
from postmeter.errors import ConfigError, UnreachableError

VALID_DAYS = 3650
_BEGIN_KEY = re.compile(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----")


def files(settings: Settings) -> tuple[Path, Path]:
    """Where certificate and key are: as configured, or in the data folder (made there when absent)."""
    smtp = settings.smtp
    if smtp.certificate:
        return Path(smtp.certificate), Path(smtp.private_key or smtp.certificate)
    certificate, key = settings.data / "certificate.pem", settings.data / "certificate.key"
    if not (certificate.exists() and key.exists()):
        _make(certificate, key, settings.hostname)
    return certificate, key


def context_factory(settings: Settings) -> ServerContextFactory:
    """TLS for all listeners; ConfigError says what is wrong with certificate or key."""
    certificate, key = files(settings)
    return ServerContextFactory(certificate, key)


class ServerContextFactory(ContextFactory):
    """Gives one context to all sessions; ``refresh`` loads changed files without touching running sessions."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self._stamp = _stamp(certificate, key)
        self._context = _context(certificate, key)

    def getContext(self) -> SSL.Context:
        """The context for a session that begins now."""
        return self._context

    def refresh(self) -> bool:
        """Load the files anew if they have changed; True if they were. ConfigError leaves the old ones in use."""
        stamp = _stamp(self._certificate, self._key)
        if stamp == self._stamp:
            return False
        self._context = _context(self._certificate, self._key)
        self._stamp = stamp
        return True


def _stamp(certificate: Path, key: Path) -> tuple[tuple[int, int], ...]:
    stamp = []
    for setting, path in (("smtp.certificate", certificate), ("smtp.private_key", key)):
        try:
            status = path.stat()
        except OSError as error:
            raise ConfigError(f"{setting}: {path} cannot be read: {error.strerror}") from None
        stamp.append((status.st_mtime_ns, status.st_ino))
    return tuple(stamp)


def _context(certificate: Path, key: Path) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(
        SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_RENEGOTIATION | SSL.OP_SINGLE_ECDH_USE
    )
    context.set_cipher_list(b"ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20")
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # an idle session gives its 34 kB back
    context.set_session_id(b"postmeter")
    try:
        context.use_certificate_chain_file(str(certificate))
    except (SSL.Error, OSError) as error:
        raise ConfigError(f"smtp.certificate: {certificate} is not a PEM certificate chain: {_why(error)}") from None
    try:
        # Not use_privatekey_file: it would ask for a passphrase on the terminal.
        context.use_privatekey(_private_key(key.read_bytes()))
        context.check_privatekey()
    except (SSL.Error, OSError) as error:
        raise ConfigError(f"smtp.private_key: {key} does not belong to {certificate}: {_why(error)}") from None
    except TypeError:
        raise ConfigError(f"smtp.private_key: {key} has a passphrase; give it without one") from None
    except ValueError:
        raise ConfigError(f"smtp.private_key: {key} is not a private key in PEM form") from None
    return context


def _private_key(pem: bytes) -> Any:
    """The first private key in ``pem``, which may hold certificates as well."""
    begin = _BEGIN_KEY.search(pem)
    return serialization.load_pem_private_key(pem[begin.start() :] if begin else pem, None)


def _why(error: Exception) -> str:
    reasons = error.args[0] if error.args else error
    return ", ".join(str(r[-1]) for r in reasons) if isinstance(reasons, list) and reasons else str(error)


def _make(certificate: Path, key: Path, hostname: str) -> None:
    """A self-signed ECDSA P-256 certificate for the host name and for this machine itself."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:64])])
    now = datetime.datetime.now(datetime.UTC)
    names: list[x509.GeneralName] = [x509.DNSName(n) for n in dict.fromkeys((hostname, "localhost")) if n.isascii()]
    names += [x509.IPAddress(ipaddress.ip_address(a)) for a in ("127.0.0.1", "::1")]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    secret = private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    _write(key, secret)
    _write(certificate, made.public_bytes(serialization.Encoding.PEM))


def _write(path: Path, content: bytes) -> None:
    """Write so that the file is there whole or not at all, readable by its owner only."""
    part = path.with_suffix(path.suffix + ".part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError as error:
        raise UnreachableError(f"{path} cannot be written: {error.strerror}") from None
