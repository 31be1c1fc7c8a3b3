"""A worker tells of its sessions when something has changed, and begins again with providers that are resumed."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import succeed

from postmeter.delivery.session_watch import SessionWatch
from postmeter.delivery.shaping import Shaper
from postmeter.store import provider_sessions
from postmeter.store.provider_sessions import NONE, Report, Sessions

TWO, THREE = Sessions(1, 2.0), Sessions(1, 3.0)


class Office:
    """A watch whose shaper, reads and commits are the test's."""

    def __init__(self) -> None:
        self.now: dict[str, Sessions] = {}
        self.resumed: dict[str, float] = {}
        self.again: list[set[str]] = []
        self.told: list[Any] = []
        self.answer: Any = None
        self.waiting: list[Any] = []
        self.watch = SessionWatch(lambda _: succeed(dict(self.resumed)), self._submit, 7, cast(Shaper, self))

    def sessions(self) -> dict[str, Sessions]:
        return dict(self.now)

    def begin_again(self, names: set[str]) -> None:
        self.again.append(names)

    def _submit(self, change: Any, item: Report, done: Any) -> None:
        assert (change, item.worker) == (provider_sessions.report, 7)
        self.told.append(dict(item.changed))
        if self.answer == "later":
            self.waiting.append(done)
        else:
            done(self.answer)

    def look(self, **now: Sessions) -> None:
        self.now = now
        self.watch.look()


def test_only_what_has_changed_is_told() -> None:
    office = Office()
    office.look()
    assert office.told == []
    office.look(Google=TWO, Yahoo=TWO)
    office.look(Google=TWO, Yahoo=TWO)
    office.look(Google=TWO, Yahoo=THREE)
    office.look(Yahoo=THREE)
    office.look(Yahoo=THREE)
    assert office.told == [{"Google": TWO, "Yahoo": TWO}, {"Yahoo": THREE}, {"Google": NONE}]


def test_what_may_not_have_been_committed_is_told_again_even_when_it_is_over() -> None:
    office = Office()
    office.answer = RuntimeError("nobody knows")
    office.look(Google=TWO)
    office.answer = None
    office.look()
    office.look()
    assert office.told == [{"Google": TWO}, {"Google": NONE}]


def test_while_the_store_takes_its_time_nothing_piles_up() -> None:
    office = Office()
    office.answer = "later"
    office.look(Google=TWO)
    office.look(Google=THREE)
    office.waiting[0](None)
    office.look(Google=THREE)
    assert office.told == [{"Google": TWO}, {"Google": THREE}]


def test_each_resumption_is_followed_once_but_none_from_before_the_start() -> None:
    office = Office()
    office.resumed = {"Google": 1.0}
    office.look()
    office.resumed = {"Google": 1.0, "Yahoo": 2.0}
    office.look()
    office.look()
    office.resumed = {"Google": 3.0}
    office.look()
    assert office.again == [{"Yahoo"}, set(), {"Google"}]
