"""The panel's looks at the DNS: rarely the same, and never so many that pages wait for each other."""

from __future__ import annotations

from collections.abc import Iterable

from postmeter.looking import Heard
from postmeter_web.looks import AT_ONCE, BUSY, FRESH, Looks
from support.panel import NOW


class Dns:
    """Answers each question with its number."""

    def __init__(self) -> None:
        self.asked = 0

    def look_up(self, _server: str, names: Iterable[str], _type: str, _seconds: float) -> Heard:
        self.asked += 1
        return Heard({name: (str(self.asked),) for name in names}, {})


def test_an_answer_is_good_for_moments() -> None:
    looks = Looks(Dns().look_up)

    def asked(at: float, *names: str, fresh: float = FRESH) -> str:
        return looks.look("", names, at, fresh=fresh).records["shop.example"][0]

    assert asked(NOW, "shop.example") == "1"
    assert asked(NOW + 9, "shop.example", "shop.example") == "1"
    assert asked(NOW + 10, "shop.example") == "2"
    assert asked(NOW + 11, "shop.example", "forum.example") == "3"
    assert asked(NOW + 12, "shop.example", fresh=1) == "4"


def test_who_finds_no_room_is_told_and_waits_for_nobody() -> None:
    dns = Dns()
    looks = Looks(dns.look_up)
    turns = [looks.turn() for _ in range(AT_ONCE)]
    assert all(turn.__enter__() for turn in turns)
    assert looks.look("", ["shop.example"], NOW) == Heard({}, {"shop.example": BUSY})
    assert dns.asked == 0
    for turn in turns:
        turn.__exit__(None, None, None)
    assert looks.look("", ["shop.example"], NOW).records == {"shop.example": ("1",)}
