"""Telling plugins: each in a thread of its own, by the worker that has the duty, and what hangs is shown."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from postmeter import telling
from postmeter.event import Event
from postmeter.hookspecs import Job, hookimpl
from postmeter.jobs import ASK_AGAIN
from postmeter.store import events, queue, troubles
from postmeter.store.engine import Store
from postmeter.store.troubles import Trouble
from postmeter.telling import DUTY_LEASE, HANGS, HOOKS
from postmeter.testing.waiting import wait_until
from support.listeners import Bench, Plugin, happen
from support.postage import accept, funded, submission
from support.tenants import NOW

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who hangs is left alone soon."""
    monkeypatch.setattr(telling, "PATIENCE", 0.5)


def ended(name: str) -> None:
    """Wait for the thread of a plugin."""
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(20)


def test_events_are_told_once_and_in_order(store: Store) -> None:
    bench = Bench(store, p=(plugin := Plugin()))
    happen(store, "a", "b")
    happen(store, "c", kind="bounced")
    happen(store, "d", kind="expired")
    happen(store, "e", kind="accepted")
    bench.tell()
    happen(store, "f")
    bench.tell()
    bench.tell()
    assert plugin.names == ["a", "b", "c", "d", "f"]
    assert [event.kind for event in plugin.told] == ["delivered", "delivered", "bounced", "expired", "delivered"]


def test_every_kind_has_its_hook(store: Store) -> None:
    told: list[tuple[str, str]] = []

    class Everything:
        """Has all hooks that are told."""

    def noting(hook: str) -> Callable[[Event], None]:
        def note(event: Event) -> None:
            told.append((event.kind, hook))

        return note

    everything: Any = Everything()
    for hook in set(HOOKS.values()):
        setattr(everything, hook, hookimpl(noting(hook)))
    bench = Bench(store, p=everything)
    for kind in HOOKS:
        happen(store, kind, kind=kind)
    bench.tell()
    assert told == list(HOOKS.items())


def test_an_event_says_what_it_is_about(store: Store) -> None:
    bench = Bench(store, p=(plugin := Plugin()))
    funded(store)
    one = submission(2)
    accept(store, one)
    with store.write() as session:
        events.record(session, [events.about_recipient(1, one.id, 1, "delivered", NOW, {"reply": "250 ok"})])
    bench.tell()
    [event] = plugin.told
    assert (event.kind, event.account_id, event.message_id) == ("delivered", 1, one.id)
    assert (event.recipient, event.connection_id) == ("r1@example.net", 7)
    assert (event.at, event.facts) == (NOW, {"reply": "250 ok"})


def test_a_new_plugin_is_told_what_happens_from_now_on(store: Store) -> None:
    happen(store, "before")
    bench = Bench(store, q=(plugin := Plugin()))
    bench.tell()
    happen(store, "after")
    bench.tell()
    assert plugin.names == ["after"]


def test_a_plugin_that_comes_back_is_told_what_it_has_missed(store: Store) -> None:
    Bench(store, p=Plugin())
    happen(store, "meanwhile")
    bench = Bench(store, p=(plugin := Plugin()))
    bench.tell()
    assert plugin.names == ["meanwhile"]


def test_another_plugin_is_not_held_up_by_one_that_hangs(store: Store) -> None:
    go_on = threading.Event()
    hanging, good = Plugin(lambda event: go_on.wait(20)), Plugin()
    bench = Bench(store, hanging=hanging, good=good)
    for name in ("a", "b"):
        happen(store, name)
        bench.tell(wait=False)
        ended("good")
    wait_until(lambda: hanging.names, 20)
    assert (hanging.names, good.names) == (["a"], ["a", "b"])
    go_on.set()
    ended("hanging")
    bench.tell()
    assert hanging.names == ["a", "b"]


def test_what_hangs_is_noted_until_it_comes_back(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    def present() -> list[Trouble]:
        with store.read() as session:
            return troubles.present(session)

    with store.write() as session:
        worker = queue.register(session, "node", 1, NOW, NOW + 45)
    go_on = threading.Event()
    bench = Bench(store, worker, hanging=(hanging := Plugin(lambda event: go_on.wait(20))))
    happen(store, "a")
    for seconds in (0, HANGS - 1):
        bench.tell(seconds, wait=False)
        wait_until(lambda: hanging.names, 20)
        assert present() == []
    for _ in range(2):
        bench.tell(1, wait=False)
    assert present() == [Trouble("hanging", "on_deliver", worker, "does not come back", NOW)]
    go_on.set()
    ended("hanging")
    bench.tell(1)
    assert present() == []
    assert [r.getMessage() for r in caplog.records if "hangs" in r.getMessage()] == [
        "plugin hanging hangs in on_deliver"
    ]


def test_the_end_waits_for_the_events_that_are_being_told_and_no_others(store: Store) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(event: Event) -> None:
        begun.set()
        go_on.wait(20)

    bench = Bench(store, p=(plugin := Plugin(slow)))
    happen(store, *range(300))
    telling_it = threading.Thread(target=bench.tell)
    telling_it.start()
    assert begun.wait(20)
    bench.teller.stop()
    go_on.set()
    telling_it.join(20)
    ended("p")
    assert len(plugin.told) == 200
    bench.tell()
    assert len(plugin.told) == 200


def test_only_one_worker_has_the_duty(store: Store) -> None:
    first, second = Plugin(), Plugin()
    one, two = Bench(store, 1, p=first), Bench(store, 2, p=second)
    one.tell()
    happen(store, "a")
    two.tell(DUTY_LEASE)
    one.tell(DUTY_LEASE)
    assert (first.names, second.names) == (["a"], [])
    happen(store, "b")
    two.tell(DUTY_LEASE + 1)
    one.tell(DUTY_LEASE + 1)
    assert (first.names, second.names) == (["a"], ["b"])


def test_a_worker_that_lost_the_duty_does_not_move_the_cursor(store: Store) -> None:
    two = Bench(store, 2, p=(second := Plugin()))

    def overtake(event: Event) -> None:
        if event.facts["name"] == "a":
            two.tell(DUTY_LEASE + 1)

    one = Bench(store, p=(first := Plugin(overtake)))
    happen(store, "a", "b")
    one.tell()
    assert (first.names, second.names) == (["a", "b"], ["a", "b"])
    happen(store, "c")
    two.tell()
    assert second.names == ["a", "b", "c"]


def test_while_nothing_happens_nothing_is_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(store, p=Plugin(), q=Worker([Job("often", 0.1, lambda now: None)]))
    bench.tell()

    def write() -> None:
        raise AssertionError

    monkeypatch.setattr(store, "write", write)
    bench.tell(1)
    bench.tell(1)
    assert bench.position().failures == 0


def test_without_listeners_nobody_is_needed(store: Store) -> None:
    assert not Bench(store).teller.needed
    assert Bench(store, p=Plugin()).teller.needed
    assert Bench(store, p=Worker([])).teller.needed


# Jobs


class Worker:
    """Has jobs; ``jobs_`` may be an exception."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked = 0

    @hookimpl
    def jobs(self) -> Sequence[Job]:
        """The hook."""
        self.asked += 1
        if isinstance(self.answer, BaseException):
            raise self.answer
        answer: Sequence[Job] = self.answer
        return answer


def test_a_job_is_done_at_once_and_then_whenever_it_is_due(store: Store) -> None:
    times: list[float] = []
    bench = Bench(store, p=(plugin := Worker([Job("count", 10.0, times.append)])))
    for _ in range(30):
        bench.tell(1)
    assert [at - NOW for at in times] == [1, 11, 21]
    assert plugin.asked == 1


def test_jobs_are_done_between_runs_of_events(store: Store) -> None:
    class Both(Plugin):
        @hookimpl
        def jobs(self) -> Sequence[Job]:
            return [Job("look", 0.001, lambda now: seen.append(len(self.told)))]

    def later(event: Event) -> None:
        bench.now += 0.001

    seen: list[int] = []
    bench = Bench(store, p=Both(later))
    happen(store, *range(450))
    bench.tell()
    assert seen == [0, 200, 400]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(0), KeyboardInterrupt()])
def test_a_job_that_fails_is_done_again_and_stops_no_other(store: Store, error: BaseException) -> None:
    done: list[float] = []

    def fail(now: float) -> None:
        done.append(-now)
        raise error

    bench = Bench(store, p=Worker([Job("bad", 5.0, fail), Job("good", 5.0, done.append)]))
    bench.tell()
    bench.tell(5)
    assert done == [-NOW, NOW, -NOW - 5, NOW + 5]


@pytest.mark.parametrize("answer", [ValueError("no"), SystemExit(0), 5, [5], [Job("never", 0, lambda now: None)]])
def test_jobs_that_cannot_be_told_are_asked_for_again_a_minute_later(store: Store, answer: Any) -> None:
    done: list[float] = []
    bench = Bench(store, p=(plugin := Worker(answer)))
    bench.tell()
    plugin.answer = [Job("count", 100.0, done.append)]
    bench.tell(ASK_AGAIN - 1)
    assert done == []
    bench.tell(1)
    assert done == [NOW + ASK_AGAIN]


def test_jobs_are_done_where_the_duty_is(store: Store) -> None:
    done: list[int] = []
    one, two = (Bench(store, n, p=Worker([Job("n", 1.0, lambda now, n=n: done.append(n))])) for n in (1, 2))
    one.tell()
    two.tell(5)
    two.tell(DUTY_LEASE)
    assert done == [1, 2]


def test_jobs_go_on_while_a_plugin_fails_with_its_events(store: Store) -> None:
    done: list[float] = []

    class Both(Plugin):
        @hookimpl
        def jobs(self) -> Sequence[Job]:
            return [Job("count", 1.0, done.append)]

        @hookimpl
        def flush(self) -> None:
            raise OSError("away")

    bench = Bench(store, p=Both())
    happen(store, "a")
    for _ in range(10):
        bench.tell(1)
    assert len(done) == 10
