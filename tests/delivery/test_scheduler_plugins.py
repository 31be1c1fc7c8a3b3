"""Plugins asked before a message is signed."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater

from postmeter.hookspecs import Message, hookimpl
from postmeter.smtp.reply import Refused, Reply
from support.scheduling import CONTENT, DONE, Bench, delivery, leased, route


class Plugin:
    """Answers as the test says; keeps what it was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[Message] = []

    @hookimpl
    def on_sign(self, message: Message) -> Any:
        """The hook."""
        self.asked.append(message)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def run(plugin: Plugin, content: bytes | None = CONTENT) -> Bench:
    """A bench whose scheduler was given a message and has asked the plugin about it."""
    bench = Bench(plugins=(plugin,))
    bench.router.known = {"example.org": route("static")}
    bench.asking.start()
    bench.take(leased("joe@example.org"), content)
    while not (bench.signer.orders or bench.scheduler._settler._waiting):
        await deferLater(reactor, 0.005, lambda: None)
    bench.asking.stop()
    return bench


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("content", [CONTENT, None], ids=["from memory", "from the store"])
async def test_a_plugins_fields_are_signed_in_front(content: bytes | None) -> None:
    plugin = Plugin([("X-Campaign", "7")])
    bench = await run(plugin, content)
    [order] = bench.signer.orders
    assert (order.added, order.content) == (b"X-Campaign: 7\r\n", CONTENT)
    assert bench.loaded == ([] if content else [(1, "one")])
    [message] = plugin.asked
    assert message.header == b"From: a@shop.example\r\n\r\n"
    assert [to.forward_path for to in message.recipients] == ["joe@example.org"]
    bench.pool.sent[0][2].callback(delivery(DONE))
    assert bench.gather() == {("one", 0): "delivered"}
    assert bench.empty


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("answer", "state", "reply"),
    [
        (Refused(Reply(550, "5.7.1", "never")), "bounced", "550 5.7.1 never"),
        (Refused(Reply(451, "4.7.1", "not now")), "deferred", "451 4.7.1 not now"),
        (ValueError("a defect"), "deferred", "451 4.3.0 A check"),
    ],
)
async def test_a_plugins_refusal_decides(answer: Exception, state: str, reply: str) -> None:
    bench = await run(Plugin(answer))
    assert bench.signer.orders == []
    assert bench.gather() == {("one", 0): state}
    assert bench.writer.settled[0].reply.startswith(reply)
    assert bench.writer.settled[0].charge == ("released" if state == "bounced" else "reserved")
    assert bench.empty
