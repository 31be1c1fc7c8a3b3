"""Plugins are asked with a time limit, and are never able to say yes where they may only refuse."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor

from postmeter.asking import TEMPORARY, Added, Asking, encode_fields
from postmeter.hooks import Plugins, new_manager
from postmeter.hookspecs import Message, hookimpl
from postmeter.message.envelope import Recipient
from postmeter.smtp.reply import Refused, Reply

MESSAGE = Message("1", 1, 1, "a@shop.example", (Recipient("b@example.net"),), b"Subject: x\r\n\r\n", 14)
FORBIDDEN = Reply(550, "5.7.1", "Forbidden")


class Plugin:
    """Answers on_accept as told."""

    def __init__(self, answer: Callable[[Message], Any]) -> None:
        self.answer = answer

    @hookimpl
    def on_accept(self, message: Message) -> Any:
        return self.answer(message)


def plugins(*answers: Callable[[Message], Any]) -> Plugins:
    """Registered so that the first one is asked first."""
    manager = new_manager()
    for number, answer in reversed(list(enumerate(answers))):
        manager.register(Plugin(answer), f"p{number}")
    return Plugins(manager)


Ask = Callable[..., Any]


@pytest.fixture
def ask() -> Iterator[Ask]:
    """Asks plugins with these answers; the threads end with the test."""
    made: list[Asking] = []

    async def asked(*answers: Callable[[Message], Any]) -> bytes:
        asking = Asking(plugins(*answers), reactor)
        asking.start()
        made.append(asking)
        return (await asking.ask("on_accept", MESSAGE)).fields

    yield asked
    for asking in made:
        asking.stop()


def refusing(reply: Reply) -> Callable[[Message], Any]:
    def answer(message: Message) -> Any:
        raise Refused(reply)

    return answer


def raising(error: BaseException) -> Callable[[Message], Any]:
    def answer(message: Message) -> Any:
        raise error

    return answer


async def refusal(asked: Any) -> Reply:
    with pytest.raises(Refused) as caught:
        await asked
    return caught.value.reply


@pytest_twisted.ensureDeferred
async def test_fields_are_added_in_the_order_of_the_plugins(ask: Ask) -> None:
    added = await ask(lambda m: [("X-A", m.id), ("X-B", "2")], lambda m: None, lambda m: (("X-C", "3"),))
    assert added == b"X-A: 1\r\nX-B: 2\r\nX-C: 3\r\n"


@pytest_twisted.ensureDeferred
async def test_the_first_refusal_ends_the_asking(ask: Ask) -> None:
    asked: list[int] = []
    assert await refusal(ask(lambda m: None, refusing(FORBIDDEN), lambda m: asked.append(3))) == FORBIDDEN
    assert asked == []


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(0), KeyboardInterrupt(), MemoryError(), OSError(5)])
async def test_any_other_exception_is_451(ask: Ask, error: BaseException) -> None:
    assert await refusal(ask(raising(error))) == TEMPORARY


class Endless:
    """Code of the plugin's in what it gives."""

    def __iter__(self) -> Iterator[Any]:
        sys.exit(0)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("reply", [Reply(250, "2.0.0", "Ok"), Reply(354, "", "go on"), "550 no", None])
async def test_a_plugin_cannot_say_yes(ask: Ask, reply: Any) -> None:
    assert await refusal(ask(refusing(reply))) == TEMPORARY


@pytest_twisted.ensureDeferred
async def test_a_refusal_is_made_fit_to_be_said(ask: Ask) -> None:
    assert await refusal(ask(refusing(Reply(550, "2.0.0", "No\0,\tnever\n\ud800")))) == Reply(550, "", "No , never\n ")


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    "answer",
    [
        42,
        "X-A: 1",
        ("X-A", "1"),
        [("X-A",)],
        [("X-A", 1)],
        [("X A", "1")],
        [("X-A:", "1")],
        [("", "1")],
        [("Ä", "1")],
        [("X-A", "1\r\nBcc: x@y.example")],
        [("X-A\n", "1")],
        [("X-A", "é")],
        [("X-A", "1" * 990)],
        [(b"X-A", b"1")],
        [("X-A", "1" * 900)] * 20,
        itertools.repeat(("X-A", "1")),
        Endless(),
    ],
)
async def test_what_is_not_header_fields_is_451(ask: Ask, answer: Any) -> None:
    assert await refusal(ask(lambda m: answer)) == TEMPORARY


@pytest.mark.parametrize(
    "name",
    [
        *("From", "SENDER", "reply-to", "To", "Cc", "Bcc", "Date", "Message-ID", "Subject", "MIME-Version"),
        *("Return-Path", "Received", "DKIM-Signature", "List-Help", "Resent-From", "Resent-Date"),
        *("Content-Type", "Content-Transfer-Encoding", "X-Postmeter-Priority"),
    ],
)
def test_a_field_that_the_relay_checks_or_sets_itself_cannot_be_added(name: str) -> None:
    with pytest.raises(ValueError, match=f"plugins may not add {name}"):
        encode_fields([("X-A", "1"), (name, "x")])


def test_a_reference_is_taken_out_while_a_message_is_accepted() -> None:
    fields = [("X-A", "1"), ("x-postmeter-ref", " order:4711 ")]
    assert encode_fields(fields) == Added(b"X-A: 1\r\n", "order:4711")
    with pytest.raises(ValueError, match="cannot be given in on_sign"):
        encode_fields(fields, "on_sign")


@pytest_twisted.ensureDeferred
async def test_such_a_field_is_451(ask: Ask) -> None:
    assert await refusal(ask(lambda m: [("Bcc", "x@y.example")])) == TEMPORARY


@pytest_twisted.ensureDeferred
async def test_a_hook_may_leave_the_message_out(ask: Ask) -> None:
    class Careless:
        @hookimpl
        def on_accept(self) -> list[tuple[str, str]]:
            return [("X-A", "1")]

    manager = new_manager()
    manager.register(Careless(), "careless")
    asking = Asking(Plugins(manager), reactor)
    asking.start()
    assert await asking.ask("on_accept", MESSAGE) == Added(b"X-A: 1\r\n")
    asking.stop()


@pytest_twisted.ensureDeferred
async def test_without_plugins_no_thread_is_started() -> None:
    before = threading.active_count()
    asking = Asking(plugins(), reactor)
    asking.start()
    assert not asking.has("on_accept")
    assert await asking.ask("on_accept", MESSAGE) == Added()
    assert threading.active_count() == before
    asking.stop()


@given(st.text(), st.text())
def test_fields_never_break_out_of_their_line(name: str, value: str) -> None:
    try:
        encoded = encode_fields([(name, value)]).fields
    except ValueError:
        return
    assert encoded.count(b"\r\n") == encoded.count(b"\n") == encoded.count(b"\r") == 1
    assert len(encoded) <= 1000
    assert encoded.partition(b": ")[0] == name.encode("ascii")


@pytest_twisted.ensureDeferred
async def test_a_plugin_that_chooses_is_asked_only_where_somebody_follows() -> None:
    class Choosing(Plugin):
        @hookimpl
        def by_connection(self) -> bool:
            return True

        @hookimpl
        def on_sign(self, message: Message) -> Any:
            return self.answer(message)

    manager = new_manager()
    manager.register(Choosing(lambda m: [("X-A", "1")]), "choosing")
    asking = Asking(Plugins(manager), reactor)
    asking.start()
    assert [asking.has("on_accept", followed) for followed in (True, False)] == [True, False]
    assert await asking.ask("on_accept", MESSAGE, followed=False) == Added()
    assert await asking.ask("on_accept", MESSAGE) == Added(b"X-A: 1\r\n")
    assert asking.has("on_sign")
    asking.stop()
