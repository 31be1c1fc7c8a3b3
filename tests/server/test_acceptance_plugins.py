"""Plugins asked before a commit, and acceptance on a real store."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_twisted
from sqlalchemy import select
from twisted.internet import reactor

from postmeter.asking import Asking
from postmeter.hooks import Plugins, new_manager
from postmeter.hookspecs import MAX_BODY, Message, hookimpl
from postmeter.message.envelope import Envelope, Recipient
from postmeter.plugin_settings import PluginSettings
from postmeter.smtp.reply import Refused, Reply
from postmeter.store import accept, queue, tables
from postmeter.store.connections import add_connection
from postmeter.store.engine import Store
from support.accepting import IDENTIFIER, NOW, Bench, storing
from support.reception import ACCESS
from support.tenants import SECRETS, make_account, make_domain

MESSAGE = b"From: orders@shop.example\r\nSubject: x\r\n\r\nHello\r\n"


class Plugin:
    """Answers as the test says; keeps what it was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[Message] = []
        self.released = threading.Event()

    @hookimpl
    def on_accept(self, message: Message) -> Any:
        """The hook."""
        self.asked.append(message)
        if self.answer == "hang":
            self.released.wait(10)
        if isinstance(self.answer, Exception):
            raise self.answer
        return None if self.answer == "hang" else self.answer


@pytest.fixture
def asking() -> Iterator[Any]:
    """Makes an Asking with one plugin."""
    made: list[tuple[Asking, Plugin]] = []

    def make(answer: Any, time_limit: float = 2.0) -> tuple[Asking, Plugin]:
        plugin, manager = Plugin(answer), new_manager()
        manager.register(plugin, "plugin")
        one = Asking(Plugins(manager, own={"plugin": PluginSettings(time_limit=cast(int, time_limit))}), reactor)
        one.start()
        made.append((one, plugin))
        return made[-1]

    yield make
    for one, plugin in made:
        plugin.released.set()
        one.stop()


@pytest_twisted.ensureDeferred
async def test_a_plugins_fields_come_in_front(tmp_path: Path, asking: Any) -> None:
    asked, plugin = asking([("X-Checked", "yes")])
    bench = Bench(tmp_path, asking=asked)
    assert (await bench.accept(MESSAGE)).code == 250
    assert bench.head[:2] == [b"X-Checked: yes", b"Received: from [AUTH:7]"]
    assert bench.submissions[0].size == len(bench.contents[0])
    [message] = plugin.asked
    assert (message.id, message.account_id, message.connection_id) == (IDENTIFIER, 3, 7)
    assert message.header.startswith(b"Received: ")
    assert message.header.endswith(b"\r\n\r\n")
    assert [r.forward_path for r in message.recipients] == ["joe@example.org", "ann@example.net"]


@pytest_twisted.ensureDeferred
async def test_the_reference_is_kept_and_neither_sent_nor_lost_to_a_plugin(tmp_path: Path, asking: Any) -> None:
    asked, plugin = asking([("X-Postmeter-Ref", "order:1"), ("X-Checked", "yes")])
    bench = Bench(tmp_path, asking=asked)
    assert (await bench.accept(b"X-Postmeter-Ref:  order:4711 \r\n" + MESSAGE)).code == 250
    assert (plugin.asked[0].reference, plugin.asked[0].body) == ("order:4711", b"Hello\r\n")
    assert bench.submissions[0].reference == "order:1"  # the plugin has looked closer
    assert bench.head[0] == b"X-Checked: yes"
    assert b"Postmeter-Ref" not in bench.contents[0]


@pytest_twisted.ensureDeferred
async def test_a_plugin_sees_the_beginning_of_a_long_body(tmp_path: Path, asking: Any) -> None:
    asked, plugin = asking(None)
    body = b"0123456789abcde\r\n" * 5000
    assert (await Bench(tmp_path, asking=asked).accept(MESSAGE + body)).code == 250
    assert plugin.asked[0].body == (b"Hello\r\n" + body)[:MAX_BODY]


@pytest.mark.parametrize(
    ("fields", "reference"),
    [
        (b"", ""),
        (b"X-Postmeter-Ref: order:1\r\n", "order:1"),
        (b"x-postmeter-ref: order:1\r\nX-Postmeter-Ref: order:2\r\n", "order:1"),
        (b"X-Postmeter-Ref:\r\n", ""),
        (b"X-Postmeter-Ref: " + b"9" * 300 + b"\r\n", "9" * 255),
        ("X-Postmeter-Ref: Bestellung:Ä\0\x1b[2J\r\n".encode(), None),
    ],
)
def test_any_reference_is_made_one_line_of_text(tmp_path: Path, fields: bytes, reference: str | None) -> None:
    bench = Bench(tmp_path)
    reply = bench.reply(fields + MESSAGE)
    if reference is None:
        assert reply.permanent
        assert bench.submissions == []
    else:
        assert bench.submissions[0].reference == reference
        assert b"Postmeter-Ref" not in bench.contents[0]


@pytest_twisted.ensureDeferred
async def test_a_plugin_that_chooses_is_asked_about_the_connections_that_it_follows(tmp_path: Path) -> None:
    class Choosing(Plugin):
        @hookimpl
        def by_connection(self) -> bool:
            return True

    plugin, manager = Choosing(None), new_manager()
    manager.register(plugin)
    asking = Asking(Plugins(manager), reactor)
    asking.start()
    bench = Bench(tmp_path, asking=asking)
    for access in (ACCESS, replace(ACCESS, followed=True)):
        assert (await bench.accept(MESSAGE, access)).code == 250
    assert len(plugin.asked) == 1
    asking.stop()


@pytest_twisted.ensureDeferred
async def test_a_plugins_refusal_is_the_reply_and_nothing_is_stored(tmp_path: Path, asking: Any) -> None:
    refusal = Reply(550, "5.7.1", "Not this one")
    bench = Bench(tmp_path, asking=asking(Refused(refusal))[0])
    assert await bench.accept(MESSAGE) == refusal
    assert (bench.submissions, bench.delivery.reserved) == ([], [])


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("answer", [ValueError("a defect"), [("Bad Name", "x")], [("X", "a\r\nBcc: b")], 5])
async def test_a_plugin_with_a_defect_is_temporary(tmp_path: Path, asking: Any, answer: Any) -> None:
    bench = Bench(tmp_path, asking=asking(answer)[0])
    reply = await bench.accept(MESSAGE)
    assert (reply.code, reply.status) == (451, "4.3.0")
    assert bench.submissions == []


@pytest_twisted.ensureDeferred
async def test_a_plugin_that_hangs_is_not_waited_for(tmp_path: Path, asking: Any) -> None:
    bench = Bench(tmp_path, asking=asking("hang", 0.1)[0])
    assert (await bench.accept(MESSAGE)).code == 451
    assert bench.submissions == []


def stored(store: Store, tmp_path: Path, content: bytes, room: bool = True) -> tuple[Bench, Reply]:
    """The bench after a message was accepted into the store."""
    with store.write() as session:
        account = make_account(session)
        make_domain(session, account)
        connection = add_connection(session, SECRETS, account, "web", ["shop.example"], NOW).connection_id
        account_id = account.id
    access = type(ACCESS)(connection, account_id, "shop", b"", "", ACCESS.domains)
    bench = Bench(tmp_path, outcome=storing(store, accept.Acceptance()))
    bench.delivery.room = room
    with store.write() as session:
        bench.delivery.worker = queue.register(session, "node", 1, NOW, NOW + 45)
    return bench, bench.reply(content, access, Envelope("a@shop.example", (Recipient("joe@example.org"),)))


@pytest.mark.parametrize("octets", [100, 5_000_000])
def test_what_is_stored_is_what_was_accepted(store: Store, tmp_path: Path, octets: int) -> None:
    body = (hashlib.sha256(b"seed").digest().hex().encode() + b"\r\n") * (octets // 66 + 1)
    bench, reply = stored(store, tmp_path, b"From: orders@shop.example\r\n\r\n" + body)
    assert reply.text == f"Ok: queued as {IDENTIFIER}"
    with store.read() as session:
        [row] = session.scalars(select(tables.Message))
        content = queue.content(session, row.account_id, row.id)
        [recipient] = session.scalars(select(tables.Recipient))
    assert content == bench.contents[0]
    assert content.endswith(b"\r\n\r\n" + body)
    assert (row.id, row.size, row.sha256) == (IDENTIFIER, len(content), hashlib.sha256(content).digest())
    assert (recipient.state, recipient.lease_owner) == ("leased", bench.delivery.worker)
    assert f"id {IDENTIFIER};".encode() in content


def test_without_room_it_waits_in_the_store_for_anyone(store: Store, tmp_path: Path) -> None:
    bench, reply = stored(store, tmp_path, MESSAGE, room=False)
    assert reply.code == 250
    assert bench.delivery.taken == []
    with store.write() as session:
        [recipient] = session.scalars(select(tables.Recipient))
        assert (recipient.state, recipient.lease_owner) == ("queued", None)
        [leased] = queue.lease_due(session, bench.delivery.worker, NOW, 10)
    assert leased.message.size == bench.submissions[0].size
