"""The whole way: a shop hands mail over to the running relay, and finds in its orders what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from plugins.stores.fakes.woocommerce import KEY, SECRET, FakeWooCommerce
from support.mail_sink import MailSink
from support.relay import ACCOUNT, Relay, wait_until
from support.shop import SENDER, Shop

NAME = "web shop"
UNKNOWN = "unknown-{}@kunde.example"  # another one each time: who has bounced is suppressed
PATTERN = r"Bestellung #(\d+)"


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[MailSink]:
    """The recipients' mail server."""
    made = MailSink(tmp_path)
    yield made
    made.close()


@pytest.fixture
def shop(sink: MailSink, tmp_path: Path) -> Iterator[Shop]:
    """A customer of a relay with the plugin."""
    (folder := tmp_path / "relay").mkdir()
    settings = {"plugins.stores": "allow_private = true\ntimeout = 1"}
    relay = Relay(folder, f"127.0.0.1:{sink.port}", plugins=["stores"], settings=settings)
    try:
        relay.start()
        yield Shop(relay, relay.set_up())
    finally:
        relay.kill()


class Handler(BaseHTTPRequestHandler):
    """Answers for the fake outside of the reactor, which waits while the relay works."""

    fake: FakeWooCommerce

    def answer(self) -> None:
        """Any request."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        answer = self.fake.respond(self.command, self.path, headers, body)
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(answer.octets)))
        self.end_headers()
        self.wfile.write(answer.octets)

    do_GET = do_POST = answer

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def woo() -> Iterator[FakeWooCommerce]:
    """A shop with WooCommerce and the orders 1234 and 1300."""
    fake = FakeWooCommerce()
    fake.add(1234)
    fake.add(1300)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"fake": fake}))
    thread = Thread(target=server.serve_forever)
    thread.start()
    fake.base = f"http://127.0.0.1:{server.server_port}"
    yield fake
    server.shutdown()
    thread.join(20)
    server.server_close()
    assert fake.wrong == []


def order(subject: str, *fields: str) -> bytes:
    """A mail about an order."""
    head = "".join(f"{line}\r\n" for line in (f"From: {SENDER}", f"Subject: {subject}", *fields))
    return f"{head}\r\nThank you.\r\n".encode()


@pytest.mark.timeout(240)  # two starts, and the lease of the one that was killed
def test_a_bounce_is_in_the_order_once_also_after_a_crash(shop: Shop, sink: MailSink, woo: FakeWooCommerce) -> None:
    relay = shop.relay
    given = ["--url", woo.base, "--key", KEY, "--secret", SECRET, "--pattern", PATTERN]
    relay.cli("store", "connect", ACCOUNT, NAME, "woocommerce", *given)
    assert relay.cli("store", "test", ACCOUNT, NAME) == {"connection": NAME, "works": True}
    named = shop.send(UNKNOWN.format(1), content=order("Hello", "X-Postmeter-Ref: order:1234"))
    found = shop.send(UNKNOWN.format(2), "anna@kunde.example", content=order("Bestellung #1300"))
    wait_until(lambda: woo.texts(1234) and woo.texts(1300), 30, relay.log)
    assert (named in woo.texts(1234)[0], found in woo.texts(1300)[0]) == (True, True)
    (arrived,) = wait_until(lambda: sink.to("anna@kunde.example"), 30, relay.log)
    assert b"postmeter-ref" not in arrived.content.lower()

    woo.before = lambda asked: relay.kill() if (asked.method, asked.path[-11:]) == ("POST", "/1234/notes") else None
    late = shop.send(UNKNOWN.format(3), content=order("Hello", "X-Postmeter-Ref: order:1234"))
    wait_until(lambda: len(woo.texts(1234)) == 2, 30, relay.log)
    woo.before = lambda asked: None
    relay.start()
    last = shop.send(UNKNOWN.format(4), content=order("Hello", "X-Postmeter-Ref: order:1300"))
    wait_until(lambda: len(woo.texts(1300)) == 2, 40, relay.log)
    assert (late in woo.texts(1234)[1], last in woo.texts(1300)[1], len(woo.texts(1234))) == (True, True, 2)
    assert relay.cli("store", "queue", ACCOUNT) == []
    assert relay.stop() == 0
    assert "Traceback" not in relay.log()
