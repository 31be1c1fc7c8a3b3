"""Every dialogue script holds on the bare session, in one piece and octet by octet."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from postmeter.smtp.limits import Limits
from support.dialogue import Script, load_scripts, octet_by_octet, parse_script, play_on_machine, whole

SCRIPTS = load_scripts()
NORMALISING = load_scripts("normalise")
# Octet by octet STARTTLS is answered before anything is behind it; then there is nothing to refuse in clear text.
CUTTABLE = [script for script in SCRIPTS if script.name != "commands_behind_starttls"]


def _name(script: Script) -> str:
    return script.name


@pytest.mark.parametrize("script", SCRIPTS, ids=_name)
def test_dialogue(script: Script) -> None:
    assert script.title
    play_on_machine(script)


@pytest.mark.parametrize("script", CUTTABLE, ids=_name)
def test_dialogue_octet_by_octet(script: Script) -> None:
    assert play_on_machine(script, octet_by_octet).session.closing


@pytest.mark.parametrize("cut", [whole, octet_by_octet])
@pytest.mark.parametrize("script", NORMALISING, ids=_name)
def test_dialogue_with_a_server_that_normalises(script: Script, cut: Callable[[bytes], Iterable[bytes]]) -> None:
    assert script.title
    assert play_on_machine(script, cut, Limits(normalise_line_endings=True)).session.closing


def test_a_step_that_is_none_is_told_with_its_line() -> None:
    with pytest.raises(ValueError, match="line 2"):
        parse_script("S: 220\nX: what\n")


def test_a_server_that_says_something_else_fails_the_dialogue() -> None:
    with pytest.raises(AssertionError, match="greeting:2"):
        play_on_machine(parse_script("# no greeting\nS: 554\n", "greeting"))
