"""Plugins fetch from where they are told and from nowhere else, and never for longer than they said."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from postmeter import Fetched, FetchError, fetch
from postmeter.server import self_signed
from support.web_server import OK, WebServer, saying, web_server

LOCAL: Any = {"allow_private": True, "timeout": 5.0}


def get(server: WebServer, path: str = "/", **options: Any) -> Fetched:
    return fetch("GET", f"http://127.0.0.1:{server.port}{path}", **LOCAL | options)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """The answers that the DNS gives for a name, one after the other; the last one again and again."""
    answers: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def look_up(host: str, port: int, **options: Any) -> Any:
        if host not in answers:
            return real(host, port, **options)
        found = answers[host].pop(0) if len(answers[host]) > 1 else answers[host][0]
        return [entry for address in found for entry in real(address, port, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return answers


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were connected to; none is reached."""
    tried: list[str] = []

    def connect(_socket: socket.socket, address: Any) -> None:
        tried.append(address[0])
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket.socket, "connect", connect)
    return tried


# Server-side request forgery: what a customer's URL must not reach

FORMS = {
    "the loopback": "https://127.0.0.1/",
    "another loopback": "https://127.255.255.254:8443/",
    "this host": "https://0.0.0.0/",
    "a name of the loopback": "https://localhost/",
    "a name of the loopback with a final dot": "https://localhost./",
    "an address with a final dot": "https://127.0.0.1./",
    "a private network": "https://10.0.0.1/",
    "the other private network": "https://192.168.1.1/",
    "the third private network": "https://172.16.0.1/",
    "a carrier's network": "https://100.64.0.1/",
    "a cloud's metadata": "https://169.254.169.254/latest/meta-data/",
    "everybody nearby": "https://255.255.255.255/",
    "a multicast group": "https://224.0.0.1/",
    "a decimal number": "https://2130706433/",
    "a hexadecimal number": "https://0x7f000001/",
    "hexadecimal parts": "https://0x7f.0x0.0x0.0x1/",
    "octal parts": "https://0177.0.0.01/",
    "fewer parts": "https://127.1/",
    "one part": "https://0/",
    "circled digits": "https://①②⑦.⓪.⓪.①/",
    "full-width dots": "https://127．0．0．1/",
    "the loopback of IPv6": "https://[::1]/",
    "no address of IPv6": "https://[::]/",
    "a mapped address": "https://[::ffff:127.0.0.1]/",
    "a mapped address in hexadecimal": "https://[::ffff:7f00:1]/",
    "a compatible address": "https://[::127.0.0.1]/",
    "6to4": "https://[2002:7f00:1::]/",
    "Teredo": "https://[2001:0:7f00:1::]/",
    "NAT64": "https://[64:ff9b::7f00:1]/",
    "NAT64 of a network's own": "https://[64:ff9b:1::7f00:1]/",
    "a translated address": "https://[::ffff:0:7f00:1]/",
    "a unique local address": "https://[fd00::1]/",
    "a link-local address": "https://[fe80::1]/",
    "a link-local address with its zone": "https://[fe80::1%25eth0]/",
    "a multicast group of IPv6": "https://[ff02::1]/",
    "a user name that looks like a host": "https://shop.example@127.0.0.1/",
    "a user name with a password": "https://shop.example:443@127.0.0.1/",
    "a host behind a backslash": "https://127.0.0.1\\@shop.example/",
    "a host behind a fragment": "https://shop.example#@127.0.0.1/",
    "a host behind white space": "https://127.0.0.1 .shop.example/",
    "a host behind a line end": "https://127.0.0.1\r\nHost: shop.example/",
    "a host behind a tab": "https://\t127.0.0.1/",
    "clear text": "http://shop.example/",
    "clear text in mixed case": "hTtP://shop.example/",
    "a file": "file:///etc/passwd",
    "another protocol": "gopher://shop.example/",
    "no protocol": "//127.0.0.1/",
    "one slash": "https:/127.0.0.1/",
    "port 0": "https://shop.example:0/",
    "a port too high": "https://shop.example:65537/",
    "a port that is a word": "https://shop.example:http/",
    "an escaped host": "https://%31%32%37.0.0.1/",
    "nothing": "",
}


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_sent_to(form: str, names: dict[str, list[list[str]]], connected: list[str]) -> None:
    names["shop.example"] = [["127.0.0.1"]]
    with pytest.raises(FetchError):
        fetch("GET", FORMS[form])
    assert connected == []


@pytest.mark.parametrize(
    "found", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::1"], ["::ffff:169.254.169.254"], ["8.8.8.8", "fd00::1"]]
)
def test_nothing_is_sent_to_a_name_with_an_address_that_is_not_public(
    found: list[str], names: dict[str, list[list[str]]], connected: list[str]
) -> None:
    names["shop.example"] = [found]
    with pytest.raises(FetchError, match=r"^shop\.example \([0-9a-f.:]+\) is not a public address"):
        fetch("GET", "https://shop.example/")
    assert connected == []


def test_a_name_is_looked_up_once_and_what_was_judged_is_connected_to(
    names: dict[str, list[list[str]]], connected: list[str]
) -> None:
    names["shop.example"] = [["8.8.8.8", "2001:4860::1"], ["127.0.0.1"]]
    with pytest.raises(FetchError, match=r"shop\.example cannot be reached: Connection refused"):
        fetch("GET", "https://SHOP.example/")
    assert connected == ["8.8.8.8", "2001:4860::1"]


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with web_server(
        saying(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n")
    ) as server:
        got = get(server)
    assert (got.status, got.headers["location"], len(server.requests)) == (302, "http://127.0.0.1/", 1)


def test_no_proxy_or_password_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login joe password secret\n")
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with web_server() as server:
        assert get(server).status == 200
    assert b"authorization" not in server.requests[0].lower()


# The request and the answer


def test_what_is_sent() -> None:
    with web_server() as server:
        got = fetch(
            "POST",
            f"http://127.0.0.1:{server.port}/a/b?c=d#e",
            headers={"Content-Type": "application/json", "Host": "elsewhere.example", "X-Token": "t"},
            body=b"{}",
            **LOCAL,
        )
    assert got == Fetched(200, {"content-length": "5"}, b"hello")
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert body == b"{}"
    assert head.split(b"\r\n")[0] == b"POST /a/b?c=d HTTP/1.1"
    assert sorted(head.lower().split(b"\r\n")[1:]) == [
        b"accept-encoding: identity",
        b"connection: close",
        b"content-length: 2",
        b"content-type: application/json",
        b"host: 127.0.0.1:%d" % server.port,
        b"user-agent: postmeter",
        b"x-token: t",
    ]


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "a\0", "ü"])
def test_a_field_that_would_break_out_is_not_sent_and_not_told(value: str) -> None:
    with web_server() as server, pytest.raises(FetchError, match="has a field that cannot be sent") as caught:
        get(server, headers={"Authorization": value})
    assert server.requests == []
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("said", "status", "body"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.0 500 Oh\r\n\r\nuntil the end", 500, b"until the end"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK, 200, b"hello"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nA: b\r\n\r\n",
            200,
            b"abcde",
        ),
    ],
)
def test_answers_that_are_understood(said: bytes, status: int, body: bytes) -> None:
    with web_server(saying(said)) as server:
        got = get(server)
    assert (got.status, got.body) == (status, body)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 100_000 + b"\r\n",
    ],
)
def test_answers_that_are_none(said: bytes) -> None:
    with web_server(saying(said)) as server, pytest.raises(FetchError):
        get(server)


def test_fields_of_one_name_become_one() -> None:
    with web_server(saying(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n")) as server:
        assert get(server).headers["x-a"] == "1, 2"


def test_a_body_without_end_is_cut_off() -> None:
    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65_536)

    with web_server(endless) as server:
        assert get(server).body == b"x" * 65_536
        assert get(server, max_body=10).body == b"x" * 10


def test_who_answers_before_the_end_of_the_request_is_heard() -> None:
    said = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"
    with web_server(saying(said)) as server:
        assert fetch("POST", f"http://127.0.0.1:{server.port}/", body=b"x" * 100, **LOCAL).status == 413


# The time limit


def test_a_drip_is_given_up_when_the_time_is_over() -> None:
    def drip(connection: socket.socket) -> None:
        for octet in OK[:-1]:
            connection.sendall(bytes([octet]))
            if server.stopped.wait(0.05):
                return

    with web_server(drip) as server:
        began = time.monotonic()
        with pytest.raises(FetchError, match=r"^127\.0\.0\.1 did not answer within 0\.5 seconds$"):
            get(server, timeout=0.5)
        assert time.monotonic() - began < 2


def test_silence_and_a_handshake_without_end_are_given_up() -> None:
    with web_server(lambda _: server.stopped.wait(10)) as server:
        for scheme in ("http", "https"):
            with pytest.raises(FetchError, match=r"did not answer within 0\.2 seconds$"):
                fetch("GET", f"{scheme}://127.0.0.1:{server.port}/", allow_private=True, timeout=0.2)


def test_a_look_up_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def look_up(*_: Any, **__: Any) -> list[Any]:
        over.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(FetchError, match=r"shop\.example did not answer within 0\.2 seconds"):
        fetch("GET", "https://shop.example/", timeout=0.2)
    over.set()


def test_a_name_that_does_not_exist_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(FetchError, match=r"the address of shop\.example cannot be found: Name or service not known"):
        fetch("GET", "https://shop.example/")


# TLS


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for shop.example, with its key in key.pem beside it."""
    self_signed.make(tmp_path / "shop.pem", tmp_path / "key.pem", "shop.example")
    return tmp_path / "shop.pem"


def serving(certificate: Path, heard: list[str | None] | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    if heard is not None:
        context.sni_callback = lambda _socket, name, _context: heard.append(name)
    return context


def test_the_certificate_is_checked_by_name_though_an_address_is_connected_to(
    certificate: Path, names: dict[str, list[list[str]]]
) -> None:
    names["shop.example"] = names["other.example"] = [["127.0.0.1"]]
    heard: list[str | None] = []
    with web_server(tls=serving(certificate, heard)) as server:
        got = fetch("GET", f"https://shop.example.:{server.port}/", ca_file=str(certificate), **LOCAL)
        assert got.body == b"hello"
        with pytest.raises(FetchError, match=r"the certificate of other\.example cannot be trusted: Hostname mismatch"):
            fetch("GET", f"https://other.example:{server.port}/", ca_file=str(certificate), **LOCAL)
        with pytest.raises(FetchError, match=r"the certificate of shop\.example cannot be trusted: self-signed"):
            fetch("GET", f"https://shop.example:{server.port}/", **LOCAL)
    assert heard == ["shop.example", "other.example", "shop.example"]
    assert b"host: shop.example:%d\r\n" % server.port in server.requests[0].lower()


def test_a_file_of_authorities_that_cannot_be_read_is_named() -> None:
    with web_server() as server, pytest.raises(FetchError, match=r"the certificates in nowhere\.pem cannot be read"):
        fetch("GET", f"https://127.0.0.1:{server.port}/", ca_file="nowhere.pem", **LOCAL)
