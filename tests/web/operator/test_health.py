"""The operator's page about health: nothing is looked at unasked, what was found is kept and told in both languages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from postmeter.health import doors, ground, names, report, running
from postmeter.health.finding import ok, problem
from postmeter.health.report import Group
from postmeter_web.operator import health
from postmeter_web.sentences import TEMPLATES
from support.panel import NOW, Browser, House

PAGE = "/operator/health/"
SOURCES = [ast.parse(Path(str(module.__file__)).read_text()) for module in (doors, ground, names, running)]
SPOKEN = re.compile(r"(?!chmod).*[a-z]{2}.* .*[a-z]{2}")  # a text with words in it, and no command


def test_nothing_is_looked_at_before_somebody_asks(operator: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "report", None)
    page = operator.get(PAGE).text
    assert "Nothing has been looked at yet" in page
    assert "Look now" in page


def test_what_was_found_is_shown_until_the_next_look(
    operator: Browser, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = (ok("clock", "<b>fine</b>"), problem("reverse DNS", "8.8.8.7 has no PTR record", "make room"))
    monkeypatch.setattr(health, "report", lambda settings, lookup: [Group("machine", found), Group("world", ())])
    assert operator.post(f"{PAGE}look", PAGE).status_code == 302
    house.now = NOW + 180
    page = operator.get(PAGE).text
    assert "1 problem." in page
    assert "3 minutes ago" in page
    assert "&lt;b&gt;fine&lt;/b&gt;" in page
    assert "To mend it: make room" in page
    assert "What the world sees" not in page  # nothing was found there


def test_one_look_at_a_time(operator: Browser, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    inside: list[int] = []

    def look(settings: object, lookup: object) -> list[Group]:
        inside.append(operator.post(f"{PAGE}look", PAGE).status_code)
        return []

    monkeypatch.setattr(health, "report", look)
    operator.post(f"{PAGE}look", PAGE)
    assert inside == [302]
    assert "Somebody else is looking just now" in operator.get(PAGE).text


def test_the_real_look_says_all_of_it_in_german(operator: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "GROUPS", {"machine": report.GROUPS["machine"]})  # the others ask the real DNS
    monkeypatch.setattr(report, "NAMES", ())
    operator.post(f"{PAGE}look", PAGE)
    page = operator.get(PAGE, **{"Accept-Language": "de"}).text
    assert "Maschine und Datenbank" in page
    assert "Ein Block ist nach" in page
    assert "Tempo der Platte" in page


def test_only_the_operator_sees_it(owner: Browser) -> None:
    assert owner.get(PAGE).status_code == 404
    assert owner.post(f"{PAGE}look", "/accounts/shop/domains/new").status_code == 404


def said(tree: ast.Module) -> Iterator[str]:
    """Every text that may become part of a finding, with an example in its places."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("ok", "warning", "problem"):
            yield from filter(None, map(example, node.args))
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in ("text", "mend", "_UNKNOWN"):
            yield from filter(None, [example(node.value)])


def example(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "X (Y)" for part in node.values)
    return ""


@pytest.mark.parametrize("text", sorted({text for tree in SOURCES for text in said(tree) if SPOKEN.match(text)}))
def test_every_sentence_of_a_look_is_known_to_the_pages(text: str) -> None:
    assert any(_fits(template, text) for template in TEMPLATES)


def _fits(template: str, text: str) -> bool:
    parts = re.split(r"\{\w+\}", template)
    return re.fullmatch(".*?".join(map(re.escape, parts)), text, re.DOTALL) is not None
