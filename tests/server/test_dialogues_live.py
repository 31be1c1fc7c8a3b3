"""Every dialogue script holds, unchanged, with a live listener: real sockets, real TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from postmeter.smtp.limits import Limits
from support.dialogue import Script, load_scripts, parse_script, play_on_socket
from support.reception import Live, go_live, reception, trusting


@pytest_twisted.async_yield_fixture
async def live() -> AsyncIterator[Live]:
    """Both kinds of ports."""
    made = go_live(reactor, reception(reactor))
    yield made
    for port in made.ports:
        await port.stopListening()


@pytest.mark.parametrize("script", load_scripts(), ids=lambda script: script.name)
@pytest_twisted.ensureDeferred
async def test_dialogue(live: Live, script: Script) -> None:
    await deferToThread(play_on_socket, script, live.tls if script.secure else live.plain, trusting())
    assert script.steps


@pytest.mark.parametrize("script", load_scripts("normalise"), ids=lambda script: script.name)
@pytest_twisted.ensureDeferred
async def test_dialogue_of_a_server_that_normalises(script: Script) -> None:
    made = go_live(reactor, reception(reactor, limits=Limits(normalise_line_endings=True)))
    try:
        await deferToThread(play_on_socket, script, made.tls if script.secure else made.plain, trusting())
    finally:
        for port in made.ports:
            await port.stopListening()
    assert script.steps


@pytest_twisted.ensureDeferred
async def test_a_server_that_says_something_else_fails_the_dialogue(live: Live) -> None:
    with pytest.raises(AssertionError, match="greeting:1"):
        await deferToThread(play_on_socket, parse_script("S: 554\n", "greeting"), live.plain, trusting())


@pytest_twisted.ensureDeferred
async def test_no_session_is_left_behind(live: Live) -> None:
    script = parse_script("S: 220\nC: QUIT\nS: 221\n*: CLOSED\n")
    await deferToThread(play_on_socket, script, live.plain, trusting())
    while live.shared.visitors.census:  # until the server has seen that the client is gone
        await deferToThread(lambda: None)
