"""`postmeter plugin`: what is listed, and what is told again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from postmeter import hooks
from postmeter.hooks import Plugins
from postmeter.hookspecs import Message, hookimpl
from postmeter.store import cursors, parked, queue, troubles
from postmeter.store.engine import Store
from postmeter.store.plugin_tables import DeadLetter, Parked, Replay
from postmeter.store.tables import Event
from postmeter.store.troubles import Trouble
from postmeter.telling import Teller
from support.command import Cli, opened, printed, told
from support.listeners import Plugin, happen
from support.postage import rows
from support.tenants import NOW


class Checker:
    """Is asked only."""

    @hookimpl
    def on_accept(self, message: Message) -> None: ...

    @hookimpl
    def on_sign(self, message: Message) -> None: ...


class Both(Checker, Plugin):
    """Is asked first, and told."""

    @hookimpl(tryfirst=True)
    def on_accept(self, message: Message) -> None: ...


@pytest.fixture
def world(cli: Cli, data: Path, monkeypatch: pytest.MonkeyPatch) -> Both:
    """Two plugins that are enabled, one that is not, and one that is not there; their relay has run."""
    both = Both()
    installed = {
        name: SimpleNamespace(name=name, dist=SimpleNamespace(version=version), load=lambda made=made: made)
        for name, version, made in (("checker", "1.2", Checker()), ("both", "3.0", both), ("spare", "0.1", Checker()))
    }
    monkeypatch.setattr(hooks, "installed", lambda: installed)
    monkeypatch.setattr("postmeter.roster.hooks.installed", lambda: installed)
    data.parent.joinpath("postmeter.toml").write_text(
        '[plugins]\nenabled = ["both", "checker", "gone"]\n[plugins.checker]\npolicy = "open"\ntime_limit = 7\n'
    )
    printed(cli("plugin", "list", "--json"))
    with opened(data) as store:
        run(store, both)
    return both


def run(store: Store, plugin: object) -> None:
    """What a relay does with its plugin both."""
    manager = hooks.new_manager()
    manager.register(plugin, "both")
    teller = Teller(Plugins(manager), store, 1, lambda: NOW)
    teller.begin()
    teller.tell()
    teller.stop()


def test_plugins_are_listed_with_what_they_do_and_how_they_fare(cli: Cli, data: Path, world: Both) -> None:
    with opened(data) as store:
        happen(store, "a", "b")
        with store.write() as session:
            worker = queue.register(session, "node", 1, NOW, NOW + 45)
            troubles.note(session, [Trouble("checker", "on_sign", worker, "OSError: away", NOW)])
            cursors.failed(session, "both", "ValueError: no", NOW + 1)
    both, checker, gone, spare = printed(cli("plugin", "list", "--json"))
    assert (both["name"], both["version"], both["state"]) == ("both", "3.0", "enabled")
    assert both["hooks"] == ["on_accept", "on_sign", "on_deliver", "on_bounce"]
    assert (both["order"], checker["order"]) == ({"on_accept": 1, "on_sign": 2}, {"on_accept": 2, "on_sign": 1})
    assert (both["policy"], both["time_limit"]) == ("tempfail", 2)
    assert (checker["policy"], checker["time_limit"]) == ("open", 7)
    cursor = both["cursor"]
    assert (cursor["lag"], cursor["parked"], cursor["dead"], cursor["replays"], cursor["failures"]) == (2, 0, 0, 0, 0)
    assert both["last_failure"] == {"at": "2027-01-15T08:00:01Z", "error": "ValueError: no"}
    assert checker["cursor"] is None
    assert checker["troubles"] == [
        {"hook": "on_sign", "worker": worker, "since_at": "2027-01-15T08:00:00Z", "error": "OSError: away"}
    ]
    assert checker["last_failure"]["error"] == "OSError: away"
    assert (gone["name"], gone["version"], gone["state"]) == ("gone", None, "missing")
    assert (spare["name"], spare["version"], spare["state"]) == ("spare", "0.1", "not enabled")


def test_people_are_told_the_same(cli: Cli, data: Path, world: Both) -> None:
    with opened(data) as store:
        happen(store, "a")
        with store.write() as session:
            at = cursors.position(session, "both")
            assert at is not None
            cursors.advance(session, "both", at, type(at)(at.tx, at.event_id, 6, NOW * 2))
            cursors.failed(session, "both", "ValueError: no", NOW)
    both, checker, gone, spare = cli("plugin", "list").stdout.strip().split("\n\n")
    assert both.splitlines() == [
        "both 3.0 (enabled)",
        "  hooks      on_accept (1.), on_sign (2.), on_deliver, on_bounce",
        "  no answer  tempfail, after 2 s",
        "  told       up to event 0; 1 to come, 0 s behind",
        "  waiting    0 set aside, 0 dead letters, 0 replays",
        "  failing    6 in a row, next try 2084-01-29T16:00:00Z",
        "  failed     2027-01-15T08:00:00Z: ValueError: no",
    ]
    assert checker.splitlines()[0] == "checker 1.2 (enabled)"
    assert (gone, spare) == ("gone (missing)", "spare 0.1 (not enabled)")


def test_the_trouble_of_a_worker_that_is_gone_is_over(cli: Cli, data: Path, world: Both) -> None:
    with opened(data) as store, store.write() as session:
        troubles.note(session, [Trouble("checker", "on_sign", 99, "OSError: away", NOW)])
    assert printed(cli("plugin", "list", "--json"))[1]["troubles"] == []


@pytest.fixture
def history(data: Path, world: Both) -> int:
    """Three events that the plugin was told; the number of the first."""
    with opened(data) as store:
        happen(store, "a", "b", "c")
        happen(store, "x", kind="accepted")  # which it does not listen to
        run(store, world)
        assert world.forget() == ["a", "b", "c"]
        return int(rows(store, Event)[0].id)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (lambda first: [str(first + 1)], ["b"]),
        (lambda first: ["--from", str(first + 1)], ["b", "c"]),
        (lambda first: ["--to", str(first + 1)], ["a", "b"]),
        (lambda first: ["--from", str(first), "--to", str(first), "--since", "2027-01-15"], ["a"]),
        (lambda first: ["--since", "2027-01-15T09:00:00+01:00", "--until", "2027-01-15T08:00:01Z"], ["a", "b", "c"]),
        (lambda first: ["--all"], ["a", "b", "c"]),
    ],
)
def test_events_are_told_again(
    cli: Cli, data: Path, world: Both, history: int, arguments: Callable[[int], list[str]], expected: list[str]
) -> None:
    answer = printed(cli("plugin", "replay", "both", *arguments(history), "--json"))
    assert answer == {"plugin": "both", "events": len(expected)}
    with opened(data) as store:
        run(store, world)
        assert rows(store, Replay) == []
    assert world.names == expected


def test_dead_letters_are_told_again(cli: Cli, data: Path, world: Both, history: int) -> None:
    with opened(data) as store, store.write() as session:
        parked.bury(session, "both", history + 1, "ValueError: no", NOW)
    assert printed(cli("plugin", "list", "--json"))[0]["cursor"]["dead"] == 1
    assert cli("plugin", "replay", "both", "--dead").stdout == "Events that both is told again: 1\n"
    with opened(data) as store:
        run(store, world)
        assert (rows(store, DeadLetter), rows(store, Parked)) == ([], [])
    assert world.names == ["b"]
    assert told(cli("plugin", "replay", "both", "--dead"), 2) == "both has no dead letters"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["both"], "name one event, a span"),
        (["both", "1", "--all"], "name one event, a span"),
        (["both", "--dead", "--from", "1"], "name one event, a span"),
        (["checker", "--all"], "no enabled plugin checker that is told events"),
        (["nobody", "--all"], "no enabled plugin nobody"),
        (["both", "99999"], "no event there that both was told"),
        (["both", "--since", "2027-01-16"], "no event there that both was told"),
        (["both", "--since", "yesterday"], "'yesterday' is not a time"),
    ],
)
def test_what_cannot_be_told_again_is_said(cli: Cli, history: int, arguments: list[str], why: str) -> None:
    assert why in told(cli("plugin", "replay", *arguments), 2)


def test_an_event_that_comes_anyway_is_not_told_before(cli: Cli, data: Path, world: Both, history: int) -> None:
    with opened(data) as store:
        happen(store, "d")
        number = rows(store, Event)[-1].id
    assert "comes anyway" in told(cli("plugin", "replay", "both", str(number)), 2)
