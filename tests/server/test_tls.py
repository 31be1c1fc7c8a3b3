"""The certificate: made once, replaced without a restart, refused with the name of the setting."""

from __future__ import annotations

import os
import re
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from postmeter import logs
from postmeter.config import Server, Settings, Smtp
from postmeter.errors import ConfigError, UnreachableError
from postmeter.server import tls
from postmeter.server.self_signed import make
from postmeter.server.tls import ServerTls
from support.reception import Live, go_live, reception
from support.tls_client import TlsClient, meet

Made = Callable[[], Settings]


def settings(data: Path, **smtp: Any) -> Settings:
    """Settings with a data folder."""
    return Settings(server=Server(hostname="mail.example.net", data=str(data)), smtp=Smtp(**smtp))


def load(data: Path) -> x509.Certificate:
    """The made certificate."""
    return x509.load_pem_x509_certificate((data / "certificate.pem").read_bytes())


def presented(server: ServerTls, name: str = "mail.example.net") -> x509.Certificate:
    """The certificate that a client sees who asks for this name."""
    client = meet(server.channel(), trusting_anybody(), name)
    return x509.load_der_x509_certificate(client.tls.getpeercert(True) or b"")


def trusting_anybody() -> ssl.SSLContext:
    """A client that looks at no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def test_a_certificate_is_made_for_the_host_name_and_this_machine(tmp_path: Path) -> None:
    tls.server_tls(settings(tmp_path))
    made = load(tmp_path)
    key = made.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mail.example.net", "localhost"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert (tmp_path / "certificate.key").stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["certificate.key", "certificate.pem"]


def test_a_made_certificate_is_used_again(tmp_path: Path) -> None:
    tls.server_tls(settings(tmp_path))
    before = (tmp_path / "certificate.pem").read_bytes()
    tls.server_tls(settings(tmp_path))
    assert (tmp_path / "certificate.pem").read_bytes() == before


def test_a_long_or_foreign_host_name_makes_a_certificate_too(tmp_path: Path) -> None:
    for name in ("m" * 63 + ".example.net", "pöst.example.net"):
        folder = tmp_path / name[:3]
        folder.mkdir()
        tls.server_tls(Settings(server=Server(hostname=name, data=str(folder))))
        assert load(folder).subject.rdns


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match=r"certificate\.key cannot be written: No such file or directory"):
        tls.server_tls(settings(tmp_path / "missing"))


def test_the_key_of_another_certificate_is_refused_by_the_settings_name(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        tls.server_tls(settings(tmp_path / name))
    certificate, key = tmp_path / "one" / "certificate.pem", tmp_path / "two" / "certificate.key"
    with pytest.raises(ConfigError, match=r"smtp\.private_key: .*two/certificate\.key does not belong to "):
        tls.server_tls(settings(tmp_path, certificate=str(certificate), private_key=str(key)))


def test_missing_files_are_refused_by_the_settings_name(tmp_path: Path) -> None:
    tls.server_tls(settings(tmp_path))
    here, nowhere = str(tmp_path / "certificate.pem"), str(tmp_path / "nowhere.pem")
    with pytest.raises(ConfigError, match=r"^smtp\.certificate: .*nowhere\.pem cannot be read: No such file"):
        tls.server_tls(settings(tmp_path, certificate=nowhere, private_key=here))
    with pytest.raises(ConfigError, match=r"^smtp\.private_key: .*nowhere\.pem cannot be read: No such file"):
        tls.server_tls(settings(tmp_path, certificate=here, private_key=nowhere))


def test_files_that_are_something_else_are_refused_by_the_settings_name(tmp_path: Path) -> None:
    tls.server_tls(settings(tmp_path))
    other = tmp_path / "other.pem"
    other.write_text("something else\n")
    here = str(tmp_path / "certificate.pem")
    with pytest.raises(ConfigError, match=r"^smtp\.certificate: .*other\.pem is not a PEM certificate chain"):
        tls.server_tls(settings(tmp_path, certificate=str(other)))
    with pytest.raises(ConfigError, match=r"^smtp\.private_key: .*other\.pem is not a private key"):
        tls.server_tls(settings(tmp_path, certificate=here, private_key=str(other)))
    with pytest.raises(ConfigError, match=r"^smtp\.private_key: .*certificate\.pem is not a private key"):
        tls.server_tls(settings(tmp_path, certificate=here))


def test_a_key_with_a_passphrase_is_refused_and_never_asked_for(tmp_path: Path) -> None:
    tls.server_tls(settings(tmp_path))
    key: Any = load_pem_private_key((tmp_path / "certificate.key").read_bytes(), None)
    sealed = tmp_path / "sealed.key"
    for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
        sealed.write_bytes(key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"geheim")))
        with pytest.raises(ConfigError, match=r"^smtp\.private_key: .*sealed\.key has a passphrase"):
            tls.server_tls(settings(tmp_path, certificate=str(tmp_path / "certificate.pem"), private_key=str(sealed)))


@pytest.mark.parametrize("first", ["key", "certificate"])
def test_one_file_may_hold_certificate_and_key(tmp_path: Path, first: str) -> None:
    tls.server_tls(settings(tmp_path))
    parts = [(tmp_path / name).read_text() for name in ("certificate.key", "certificate.pem")]
    both = tmp_path / "both.pem"
    both.write_text("".join(parts if first == "key" else parts[::-1]))
    assert presented(tls.server_tls(settings(tmp_path, certificate=str(both)))) == load(tmp_path)


def test_an_rsa_key_in_the_old_form_is_taken(tmp_path: Path) -> None:
    private = rsa.generate_private_key(65537, 2048)
    old = private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert tls.private_key(b"Bag Attributes\n" + old).key_size == 2048


def test_changed_files_are_loaded_and_bad_ones_are_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    factory = tls.server_tls(settings(tmp_path))
    before = presented(factory)
    assert factory.refresh() is False
    (tmp_path / "certificate.key").unlink()
    for _ in range(3):
        assert factory.refresh() is False
    [told] = caplog.messages
    assert re.match(r"smtp\.private_key: .*\.key cannot be read: No such file or directory; the one before stays", told)
    assert presented(factory) == before
    tls.files(settings(tmp_path))  # makes both anew
    assert factory.refresh() is True
    assert presented(factory) != before
    assert factory.refresh() is False


def test_half_a_change_is_refused_until_the_other_half_comes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    factory = tls.server_tls(settings(tmp_path))
    before = presented(factory)
    other = tmp_path / "other"
    other.mkdir()
    tls.server_tls(settings(other))
    os.replace(other / "certificate.pem", tmp_path / "certificate.pem")
    for _ in range(2):
        assert factory.refresh() is False
    assert caplog.text.count("does not belong") == 1
    assert presented(factory) == before
    os.replace(other / "certificate.key", tmp_path / "certificate.key")
    assert factory.refresh() is True


def made(folder: Path, name: str, layout: str = "folder") -> str:
    """A certificate for a further name, as ``smtp.certificates`` names it."""
    place = folder / name.replace("*", "any")
    place.mkdir()
    make(place / "fullchain.pem", place / "privkey.pem", name)
    if layout == "folder":
        return str(place)
    both = place / "both.pem"
    both.write_bytes((place / "privkey.pem").read_bytes() + (place / "fullchain.pem").read_bytes())
    return str(both)


def test_the_name_that_a_client_asks_for_chooses_the_certificate(tmp_path: Path) -> None:
    places = (made(tmp_path, "smtp.one.example"), made(tmp_path, "*.two.example", "file"))
    server = tls.server_tls(settings(tmp_path, certificates=places))

    def subject(name: str) -> str:
        return presented(server, name).subject.rfc4514_string()

    assert subject("smtp.one.example") == "CN=smtp.one.example"
    assert subject("SMTP.ONE.example") == "CN=smtp.one.example"
    assert subject("mail.two.example") == "CN=*.two.example"
    for name in ("two.example", "a.mail.two.example", "one.example", "mail.example.net", "192.0.2.1"):
        assert subject(name) == "CN=mail.example.net"


def test_a_client_that_asks_for_no_name_gets_the_first_certificate(tmp_path: Path) -> None:
    server = tls.server_tls(settings(tmp_path, certificates=(made(tmp_path, "smtp.one.example"),)))
    client = meet(server.channel(), trusting_anybody(), name=None)
    assert client.tls.getpeercert(True) == load(tmp_path).public_bytes(Encoding.DER)


def test_a_further_certificate_is_loaded_anew_as_well(tmp_path: Path) -> None:
    place = made(tmp_path, "smtp.one.example")
    server = tls.server_tls(settings(tmp_path, certificates=(place,)))
    before = presented(server, "smtp.one.example")
    make(Path(place, "fullchain.pem"), Path(place, "privkey.pem"), "smtp.one.example")
    assert server.refresh() is True
    assert presented(server, "smtp.one.example") != before
    assert presented(server) == load(tmp_path)


@pytest.mark.parametrize("place", ["nowhere.pem", "."])
def test_a_further_certificate_that_is_missing_is_told_and_left_out(
    tmp_path: Path, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    good = made(tmp_path, "smtp.one.example")
    server = tls.server_tls(settings(tmp_path, certificates=(str(tmp_path / place), good)))
    server.refresh()
    [told] = caplog.messages
    assert re.match(r"smtp\.certificates: .* cannot be read: No such file or directory; it is left out", told)
    assert presented(server, "smtp.one.example").subject.rfc4514_string() == "CN=smtp.one.example"
    assert presented(server) == load(tmp_path)


def test_a_broken_further_certificate_keeps_no_other_from_being_renewed(tmp_path: Path) -> None:
    one, two = made(tmp_path, "smtp.one.example"), made(tmp_path, "smtp.two.example")
    server = tls.server_tls(settings(tmp_path, certificates=(one, two)))
    before = [presented(server, name) for name in ("smtp.one.example", "smtp.two.example")]
    Path(one, "fullchain.pem").write_text("nothing\n")
    make(Path(two, "fullchain.pem"), Path(two, "privkey.pem"), "smtp.two.example")
    assert server.refresh() is True
    after = [presented(server, name) for name in ("smtp.one.example", "smtp.two.example")]
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_a_client_whose_server_name_is_none_is_refused_and_no_news(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(sys, "unraisablehook", logs._unraisable)
    server = tls.server_tls(settings(tmp_path, certificates=(made(tmp_path, "smtp.one.example"),)))
    heard: list[bytes] = []
    client = TlsClient(trusting_anybody(), lambda data: heard.append(data) or b"", "smtp.one.example")
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    channel = server.channel()
    with pytest.raises(ssl.SSLError):
        channel.receive(client.seal().replace(b"smtp.one", b"smtp.\xff\xfe\xfd"))
    assert caplog.messages == []


@pytest_twisted.async_yield_fixture
async def live() -> AsyncIterator[Live]:
    """Both kinds of ports."""
    made = go_live(reactor, reception(reactor))
    yield made
    for port in made.ports:
        await port.stopListening()


def shake_hands(port: int, least: ssl.TLSVersion, most: ssl.TLSVersion) -> str | None:
    """The version that was agreed on."""
    context = trusting_anybody()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = least, most
    with socket.create_connection(("127.0.0.1", port), 5) as plain, context.wrap_socket(plain) as link:
        link.recv(100)
        return link.version()


@pytest_twisted.ensureDeferred
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_tls_1_2_and_1_3_are_spoken_and_nothing_older(live: Live) -> None:
    for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        assert await deferToThread(shake_hands, live.tls, version, version) == name
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await deferToThread(shake_hands, live.tls, version, version)


@pytest_twisted.ensureDeferred
async def test_a_new_certificate_serves_new_sessions_and_leaves_old_ones_alone(tmp_path: Path) -> None:
    factory = tls.server_tls(settings(tmp_path))
    live = go_live(reactor, reception(reactor, tls=factory))

    def connect() -> tuple[ssl.SSLSocket, bytes]:
        link = trusting_anybody().wrap_socket(socket.create_connection(("127.0.0.1", live.tls), 5))
        link.recv(100)
        return link, link.getpeercert(True) or b""

    def ask(link: ssl.SSLSocket) -> bytes:
        link.sendall(b"NOOP\r\n")
        said = link.recv(100)
        link.close()
        return said

    old, before = await deferToThread(connect)
    (tmp_path / "certificate.key").unlink()
    tls.files(settings(tmp_path))
    assert factory.refresh()
    new, after = await deferToThread(connect)
    assert before != after
    assert after == load(tmp_path).public_bytes(Encoding.DER)
    assert await deferToThread(ask, old) == b"250 2.0.0 Ok\r\n"
    assert await deferToThread(ask, new) == b"250 2.0.0 Ok\r\n"
    for port in live.ports:
        await port.stopListening()
