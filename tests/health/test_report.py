"""All looks together: none keeps the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from postmeter.config import Delivery, Server, Settings
from postmeter.errors import UnreachableError
from postmeter.health import report as module
from postmeter.health.finding import Finding, ok
from postmeter.health.report import Look, report

SETTINGS = Settings(server=Server(hostname="mail.example.net"))


def run(monkeypatch: pytest.MonkeyPatch, *looks: Look, settings: Settings = SETTINGS) -> list[tuple[str, str, str]]:
    monkeypatch.setattr(module, "GROUPS", {"machine": looks, "world": ()})
    monkeypatch.setattr(module, "NAMES", (asks,))
    groups = report(settings, lambda name, type: [name])
    return [(group.name, one.check, one.text) for group in groups for one in group.findings]


def asks(settings: Settings, lookup: module.Lookup) -> Iterator[Finding]:
    yield ok("name", lookup(settings.hostname, "A")[0])


def half(_settings: Settings) -> Iterator[Finding]:
    yield ok("half", "first")
    raise UnreachableError("the rest is away")


def test_what_was_found_before_an_error_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, half) == [
        ("machine", "half", "first"),
        ("machine", "half", "the rest is away"),
        ("world", "name", "mail.example.net"),
    ]


def test_a_look_that_hangs_is_a_problem_and_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    end = threading.Event()

    def hangs(_settings: Settings) -> Iterator[Finding]:
        end.wait(10)
        yield ok("late", "nobody sees it")

    monkeypatch.setattr(module, "LIMIT", 1.0)
    try:
        assert run(monkeypatch, hangs, half)[:2] == [
            ("machine", "hangs", "no answer within 1 s"),
            ("machine", "half", "first"),
        ]
    finally:
        end.set()


@pytest.mark.parametrize(
    "settings",
    [
        Settings(server=Server(hostname="relay")),
        Settings(server=Server(hostname="mail.example.net"), delivery=Delivery(routes={"*": "192.0.2.25:25"})),
    ],
)
def test_names_are_looked_up_where_they_count(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, settings=settings) == []


def test_a_relay_that_was_never_started_has_no_problem_but_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def lookup(name: str, type: str) -> Sequence[str]:
        asked.append(name)
        return []

    monkeypatch.setattr(module.names, "sources", lambda settings: ())
    monkeypatch.setattr(module, "GROUPS", {"machine": module.GROUPS["machine"], "world": ()})
    groups = report(Settings(server=Server(hostname="mail.example.net", data=str(tmp_path / "data"))), lookup)
    assert [one.check for group in groups for one in group.findings if one.state == "problem"] == []
    assert set(asked) == {"mail.example.net"}
