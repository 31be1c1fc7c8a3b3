"""When bounces and complaints are too many: to warn of them, and to take no more mail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.guard import Guard
from postmeter.message.conduct import Figures, Verdict, awaits_more, judge

LIMITS = Guard()
OFF = Guard(bounce_percent=0, complaint_permille=0, warn_bounce_percent=0, warn_complaint_permille=0)


def bounces(bounced: int, recipients: int = 1_000, against: int | None = None, unknown: int = 0) -> Figures:
    """So many of the recipients bounced, all of them by the sender's fault unless it is said."""
    return Figures(recipients - bounced, bounced, bounced if against is None else against, unknown)


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"": bounces(50)}, []),
        ({"": bounces(51)}, [Verdict("bounces", 51, 1_000, 50, pauses=True)]),
        ({"": bounces(400, against=50)}, []),
        ({"a": bounces(30, 500), "b": bounces(21, 500)}, [Verdict("bounces", 51, 1_000, 50, pauses=True)]),
        ({"": bounces(199, 199)}, []),
        ({"": bounces(11, 200)}, [Verdict("bounces", 11, 200, 50, pauses=True)]),
        ({"": Figures(1_000, complained=1)}, []),
        ({"": Figures(1_000, complained=2)}, [Verdict("complaints", 2, 1_000, 1)]),
        ({"": Figures(1_000, complained=3)}, [Verdict("complaints", 3, 1_000, 1)]),
        ({"": Figures(1_000, complained=4)}, [Verdict("complaints", 4, 1_000, 3, pauses=True)]),
        ({"Google": bounces(10, unknown=10)}, []),
        ({"Google": bounces(11, unknown=11)}, [Verdict("bounces", 11, 1_000, 10, "Google")]),
        ({"Google": bounces(11, unknown=0)}, []),
        ({"": bounces(11, unknown=11)}, []),
        ({"Google": bounces(9, 100, unknown=9), "other": bounces(0)}, []),
    ],
)
def test_more_than_the_limits_is_too_much(figures: dict[str, Figures], expected: list[Verdict]) -> None:
    assert judge(figures, LIMITS) == expected


def test_several_things_are_warned_of_together_but_one_is_enough_to_pause() -> None:
    figures = {"Google": bounces(20, unknown=20) + Figures(complained=3), "Yahoo": bounces(20, unknown=11)}
    assert [one.about for one in judge(figures, LIMITS)] == ["complaints", "bounces Google", "bounces Yahoo"]
    assert [one.about for one in judge({**figures, "": bounces(900)}, LIMITS)] == ["bounces"]


def test_it_is_said_in_a_sentence() -> None:
    assert Verdict("bounces", 51, 1_000, 50, pauses=True).sentence(7) == (
        "51 of 1,000 recipients within 7 days bounced, more than 5 %"
    )
    assert Verdict("complaints", 4, 1_000, 3).sentence(7).endswith("within 7 days complained, more than 0.3 %")
    assert "recipients at Google within" in Verdict("bounces", 11, 1_000, 10, "Google").sentence(7)


numbers = st.integers(0, 2_000)


@given(st.builds(Figures, numbers, numbers, numbers, numbers, numbers))
def test_what_is_off_says_nothing(figures: Figures) -> None:
    assert judge({"Google": figures}, OFF) == []


@pytest.mark.parametrize(
    ("figures", "awaits"),
    [
        ({"": bounces(20, 150)}, True),
        ({"": bounces(7, 150)}, False),
        ({"": bounces(20, 150, against=0)}, False),
        ({"": Figures(150, complained=1)}, True),
        ({"Google": bounces(2, 150, unknown=2)}, True),
        ({"Google": bounces(1, 150, unknown=1)}, False),
        ({"": bounces(20, 200)}, False),
        ({}, False),
    ],
)
def test_what_more_recipients_would_decide(figures: dict[str, Figures], awaits: bool) -> None:
    assert awaits_more(figures, LIMITS) is awaits
    if awaits:
        assert judge(figures, LIMITS) == []
