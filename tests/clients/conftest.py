"""One relay and one recipient side for all tests with real clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.mail_sink import MailSink
from support.relay import Access, Relay


@pytest.fixture(scope="session")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailSink]:
    """The recipients' mail server."""
    made = MailSink(tmp_path_factory.mktemp("sink"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def relay(tmp_path_factory: pytest.TempPathFactory, sink: MailSink) -> Iterator[Relay]:
    """A running relay with two workers."""
    made = Relay(tmp_path_factory.mktemp("relay"), f"127.0.0.1:{sink.port}")
    try:
        made.start()
        yield made
        assert made.stop() == 0
    finally:
        made.kill()


@pytest.fixture(scope="session")
def access(relay: Relay) -> Access:
    """What the clients log in with."""
    return relay.set_up()
