"""A plugin that misuses the database of the running relay: mail is taken all the same, and soon."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from postmeter.store.engine import LIMIT
from support.mail_sink import MailSink
from support.relay import Relay, wait_until
from support.shop import ORDER, Shop

WORKERS = 2
# A mail waits for its plugin, and then for one turn of each worker's plugin, if it hangs; and machines may be busy.
SOON = 1.0 + WORKERS * LIMIT + 8.0  # seconds
MODULE = '''\
    """Does to the database what a message's subject says."""

    import threading
    import time

    from postmeter import hookimpl
    from sqlalchemy import text


    def nest(core):
        with core.write(), core.write():
            pass


    def sleep(core):
        with core.write() as session:
            session.execute(text("INSERT INTO duty (name, owner, until) VALUES ('never', 0, 0)"))
            time.sleep(1000)


    def read(core):
        for _ in range(20):
            threading.Thread(target=keep_reading, args=(core,), daemon=True).start()


    def keep_reading(core):
        with core.read() as session:
            session.execute(text("SELECT count(*) FROM duty")).all()
            time.sleep(1000)


    DEEDS = {"nest": nest, "sleep": sleep, "read": read}


    class Plugin:
        @hookimpl
        def on_start(self, core):
            self.core = core

        @hookimpl
        def on_accept(self, message):
            for name, deed in DEEDS.items():
                if b"Subject: " + name.encode() in message.header:
                    deed(self.core)
'''


def install(folder: Path) -> None:
    """As an installer would: the module and its metadata."""
    metadata = folder / "clumsy-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / "clumsy_plugin.py").write_text(textwrap.dedent(MODULE))
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: clumsy\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[postmeter]\nclumsy = clumsy_plugin:Plugin\n")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A customer of a relay with the plugin, which may fail."""
    install(tmp_path / "site")
    (tmp_path / "sink").mkdir()
    sink = MailSink(tmp_path / "sink")
    relay = Relay(
        tmp_path,
        f"127.0.0.1:{sink.port}",
        workers=WORKERS,
        plugins=["clumsy"],
        settings={"plugins.clumsy": 'policy = "open"\ntime_limit = 1'},
        environment={"PYTHONPATH": str(tmp_path / "site")},
    )
    try:
        relay.start()
        yield Shop(relay, relay.set_up())
        assert relay.stop() == 0
    finally:
        relay.kill()
        sink.close()


def seconds(shop: Shop, deed: str) -> float:
    """How long a message takes that has the plugin do something; smtplib's exception when it is not accepted."""
    begun = time.monotonic()
    shop.send("anna@kunde.example", content=ORDER.replace(b"Your order", deed.encode()))
    return time.monotonic() - begun


def all_at_once(shop: Shop, *deeds: str) -> float:
    """The longest time of all, sent by sessions of their own at the same time."""
    with ThreadPoolExecutor(len(deeds)) as pool:
        return max(pool.map(lambda deed: seconds(shop, deed), deeds))


@pytest.mark.parametrize("deed", ["nest", "sleep", "read"])
def test_mail_is_taken_whatever_a_plugin_does_with_the_database(shop: Shop, deed: str) -> None:
    assert seconds(shop, deed) < SOON
    assert all_at_once(shop, "nothing", deed, "nothing", deed, "nothing", "nothing") < SOON
    for _ in range(2):
        assert all_at_once(shop, deed, "nothing") < SOON
    wait_until(lambda: shop.relay.stats()["delivered"] == 11, 60, shop.relay.log)
    kept = f"plugin clumsy has kept all others from writing for {LIMIT:g} s"
    assert (kept in shop.relay.log()) is (deed == "sleep")
