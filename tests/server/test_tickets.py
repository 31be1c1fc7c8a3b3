"""Session tickets: a client that comes back is known by every worker, and by nobody else."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from postmeter.config import Server, Settings
from postmeter.server import tickets
from postmeter.server.channel import Channel
from postmeter.server.tls import ServerTls, server_tls
from support.tls_client import meet

SECRET, OTHER = b"s" * 128, b"o" * 128
VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


def worker(folder: Path, secret: bytes = SECRET, now: float = 1e9) -> ServerTls:
    """TLS as one worker serves it."""
    return server_tls(Settings(server=Server(hostname="localhost", data=str(folder))), secret, lambda: now)


def visit(
    shop: ssl.SSLContext, server: ServerTls, ticket: ssl.SSLSession | None = None
) -> tuple[Channel, ssl.SSLSession]:
    """One whole session; what the client keeps of it."""
    channel = server.channel()
    client = meet(channel, shop, session=ticket)
    assert client.open(channel.send(b"220 hello\r\n")) == b"220 hello\r\n"
    assert client.tls.session is not None
    return channel, client.tls.session


def shop_of(folder: Path, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client that speaks this version only."""
    context = ssl.create_default_context(cafile=str(folder / "certificate.pem"))
    context.minimum_version = context.maximum_version = version
    return context


@VERSIONS
def test_a_ticket_of_one_worker_is_taken_by_the_others(tmp_path: Path, version: ssl.TLSVersion) -> None:
    first, second = worker(tmp_path), worker(tmp_path)
    shop = shop_of(tmp_path, version)
    channel, ticket = visit(shop, first)
    assert not channel.resumed
    assert visit(shop, second, ticket)[0].resumed


@VERSIONS
def test_a_ticket_of_another_relay_is_not_taken(tmp_path: Path, version: ssl.TLSVersion) -> None:
    other, ours = worker(tmp_path, OTHER), worker(tmp_path)
    shop = shop_of(tmp_path, version)
    _, ticket = visit(shop, other)
    assert not visit(shop, ours, ticket)[0].resumed


@VERSIONS
def test_the_keys_change_in_all_workers_at_once(tmp_path: Path, version: ssl.TLSVersion) -> None:
    now = 1e9
    workers = [server_tls(Settings(server=Server(data=str(tmp_path), hostname="localhost")), SECRET, lambda: now)] * 2
    shop = shop_of(tmp_path, version)
    _, ticket = visit(shop, workers[0])
    now += tickets.LIFETIME
    for each in workers:
        assert each.refresh() is False
    assert not visit(shop, workers[1], ticket)[0].resumed
    _, ticket = visit(shop, workers[0])
    assert visit(shop, workers[1], ticket)[0].resumed


@VERSIONS
def test_a_new_certificate_keeps_the_tickets(tmp_path: Path, version: ssl.TLSVersion) -> None:
    server = worker(tmp_path)
    shop = shop_of(tmp_path, version)
    _, ticket = visit(shop, server)
    (tmp_path / "certificate.key").touch()
    assert server.refresh()
    assert visit(shop, server, ticket)[0].resumed


def test_a_python_that_hides_the_function_is_told_and_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tickets, "_library", lambda: None)
    caplog.set_level("INFO")
    server = worker(tmp_path)
    assert "tickets are not shared" in caplog.text
    visit(shop_of(tmp_path, ssl.TLSVersion.TLSv1_3), server)
