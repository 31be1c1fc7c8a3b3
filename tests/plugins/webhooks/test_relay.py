"""The running relay calls a customer's system: what happens to a mail is told there, also after a crash."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks

from support.mail_sink import MailSink
from support.relay import ACCOUNT, Relay, wait_until
from support.shop import Shop
from support.web_server import OK, WebServer, web_server

BROKEN = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


class System:
    """A customer's system: believes only what it can verify; ``broken`` it takes nothing."""

    def __init__(self, server: WebServer) -> None:
        self.server = server
        self.secret = ""
        self.broken = False
        self.url = f"http://127.0.0.1:{server.port}/"

    def calls(self, message: str) -> list[tuple[str, Any]]:
        """The webhook-id and the body of each call about a message."""
        found = [self._verified(request) for request in list(self.server.requests)]
        return [(key, body) for key, body in found if body["data"].get("message_id") == message]

    def types(self, message: str) -> list[str]:
        """The types of what it was told of a message."""
        return [body["type"] for _, body in self.calls(message)]

    def _verified(self, request: bytes) -> tuple[str, Any]:
        head, _, body = request.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        standardwebhooks.Webhook(self.secret).verify(body, fields)
        return fields["webhook-id"], json.loads(body)


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """The customer's system."""
    with web_server(lambda connection: connection.sendall(BROKEN if made.broken else OK)) as server:
        made = System(server)
        yield made


@pytest.fixture(scope="module")
def shop(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A customer of a relay with the plugin, whose system is called."""
    sink = MailSink(tmp_path_factory.mktemp("sink"))
    settings = {"plugins.webhooks": "allow_private = true"}
    folder: Path = tmp_path_factory.mktemp("relay")
    relay = Relay(folder, f"127.0.0.1:{sink.port}", plugins=["webhooks"], settings=settings)
    try:
        relay.start()
        made = Shop(relay, relay.set_up())
        system.secret = relay.cli("webhook", "add", ACCOUNT, system.url)["secret"]
        yield made
        assert relay.stop() == 0
        assert "Traceback" not in relay.log()
    finally:
        relay.kill()
        sink.close()


def test_what_happens_to_a_mail_is_told_in_order(shop: Shop, system: System) -> None:
    message = shop.send("anna@kunde.example", "unknown@kunde.example")
    wait_until(lambda: len(system.calls(message)) >= 4, 20, shop.relay.log)
    first, *others = [body for _, body in system.calls(message)]
    assert (first["type"], first["data"]["account"], first["data"]["connection"]) == (
        "message.accepted",
        ACCOUNT,
        "web shop",
    )
    told = {(body["type"], body["data"]["recipient"], body["data"].get("status")) for body in others}
    assert told == {
        ("message.delivered", "anna@kunde.example", "2.0.0"),
        ("message.bounced", "unknown@kunde.example", "5.1.1"),
        ("message.suppressed", "unknown@kunde.example", None),
    }


def test_what_was_not_taken_when_the_relay_was_killed_is_told_again(shop: Shop, system: System) -> None:
    system.broken = True
    message = shop.send("bert@kunde.example")
    wait_until(lambda: system.types(message), 20, shop.relay.log)
    shop.relay.kill()
    system.broken = False
    before = system.calls(message)
    shop.relay.start()
    wait_until(lambda: "message.delivered" in system.types(message), 60, shop.relay.log)
    after = system.calls(message)[len(before) :]
    assert after[0] == before[0]
    assert [body["type"] for _, body in after] == ["message.accepted", "message.delivered"]
