"""The order of commands as tables."""

from __future__ import annotations

import pytest

from postmeter.smtp.commands import ALLOWED, State, refusal

VERBS = sorted(frozenset().union(*ALLOWED.values()))


@pytest.mark.parametrize("state", [state for state in State if state is not State.HANDSHAKE])
def test_greeting_resetting_waiting_and_leaving_are_always_allowed(state: State) -> None:
    assert ALLOWED[state] >= {"EHLO", "HELO", "NOOP", "RSET", "QUIT"}


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("verb", [*VERBS, "TURN", ""])
def test_what_is_not_allowed_is_refused_for_good(state: State, verb: str) -> None:
    assert verb in ALLOWED[state] or refusal(state, verb).permanent


def test_login_is_possible_at_one_place_only() -> None:
    assert [state for state in State if "AUTH" in ALLOWED[state]] == [State.GREETED]


def test_mail_needs_a_login_and_content_needs_a_recipient() -> None:
    assert [state for state in State if "MAIL" in ALLOWED[state]] == [State.READY]
    assert [state for state in State if "DATA" in ALLOWED[state]] == [State.RCPT]


@pytest.mark.parametrize("state", [State.CLEAR, State.CLEAR_GREETED])
def test_in_clear_text_even_unknown_commands_are_told_to_start_tls(state: State) -> None:
    assert str(refusal(state, "TURN")).startswith("530 5.7.0 Must issue a STARTTLS command first")
