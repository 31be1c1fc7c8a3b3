"""The CSA self-check: each criterion by its evidence, and the operator's own answers."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from typing import Any

import pytest

from postmeter.config import Demo, Server, Settings, Smtp, Web
from postmeter.health.finding import Finding, ok, problem, warning
from postmeter.health.report import Group
from postmeter.store import csa
from postmeter.store.csa import AccountRates, Facts
from postmeter.store.statistics import Totals
from postmeter_web.operator import criteria, health
from postmeter_web.operator.criteria import CRITERIA, OWN, Evidence
from support.panel import NOW, Browser, House

PAGE = "/operator/csa/"
NOTHING = Totals(0, 0, 0, 0, 0, 0, 0, 0)
FACTS = Facts(NOTHING, (), None, 0, {}, 0, 0, False, 1, 0, 0, 0)
SETTINGS = Settings(server=Server(hostname="mail.example.net"))


def told(page: str) -> str:
    """What a page says, without its tags."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))


def states(house: House, *findings: Finding, settings: Settings = SETTINGS, **facts: Any) -> dict[str, str]:
    """The state of each criterion, by its judge."""
    evidence = Evidence(settings, replace(FACTS, **facts), findings or None, NOW)
    with house.app().test_request_context():
        return {one.judge.__name__.strip("_"): one.judge(evidence).state for one in CRITERIA}


def rates(delivered: int, bounced: int = 0, complained: int = 0) -> Totals:
    return replace(NOTHING, arrived=delivered + bounced, delivered=delivered, bounced=bounced, complained=complained)


def test_what_the_relay_guarantees_is_met_and_what_nobody_has_looked_at_is_not_known(house: House) -> None:
    found = states(house)
    assert {name for name, state in found.items() if state == "good"} == {
        "form",
        "relaying",
        "links",
        "complaints_field",
        "list_help",
        "repeated",
        "limits",
    }
    assert {name for name, state in found.items() if state == "unknown"} == {
        "sources",
        "names",
        "sender_policy",
        "certificate",
        "contact",
        "bounces",
        "complaints",
    }


def test_the_look_at_the_health_is_evidence(house: House) -> None:
    right, wrong = ok("reverse DNS", "8.8.8.7 is mail.example.net, and back"), problem("reverse DNS", "x", "y")
    assert states(house, right)["names"] == "good"
    assert states(house, right, wrong)["names"] == "bad"
    assert states(house, right, warning("reverse DNS", "x"))["names"] == "warn"
    assert states(house, ok("clock", "x"))["names"] == "unknown"


@pytest.mark.parametrize("name", ["host-192-0-2-7.example.net", "p5.dyn.example.net", "dsl7.example.net"])
def test_a_generic_name_is_refused(house: House, name: str) -> None:
    settings = Settings(server=Server(hostname=name))
    assert states(house, ok("reverse DNS", "fine"), settings=settings)["names"] == "bad"


@pytest.mark.parametrize(
    ("totals", "state"), [(rates(100, 50), "unknown"), (rates(995, 5), "good"), (rates(980, 20), "bad")]
)
def test_hard_bounces_stay_below_one_per_cent(house: House, totals: Totals, state: str) -> None:
    assert states(house, totals=totals)["bounces"] == state


def test_an_account_above_the_limit_is_named(house: House) -> None:
    accounts = (AccountRates("shop", 900, 5, 0), AccountRates("forum", 950, 50, 0), AccountRates("few", 10, 9, 0))
    evidence = Evidence(SETTINGS, replace(FACTS, totals=rates(9_950, 50), accounts=accounts), None, NOW)
    with house.app().test_request_context():
        judged = criteria._bounces(evidence)
    assert (judged.state, judged.texts[-1]) == ("warn", "Above the limit: forum.")


@pytest.mark.parametrize(("complained", "state"), [(0, "good"), (1, "good"), (2, "warn"), (4, "bad")])
def test_complaints_stay_below_a_tenth_of_a_per_cent(house: House, complained: int, state: str) -> None:
    settings = Settings(smtp=Smtp(reports=("127.0.0.1:2525",)))
    found = states(house, settings=settings, totals=rates(1_000, complained=complained))
    assert found["complaints"] == state


@pytest.mark.parametrize(
    ("facts", "which", "state"),
    [
        ({"since": NOW - 91 * 86_400}, "history", "good"),
        ({"since": NOW - 86_400}, "history", "warn"),
        ({}, "history", "bad"),
        ({"operator_key": True}, "signed", "good"),
        ({}, "signed", "warn"),
        ({"without_help": 1}, "list_help", "bad"),
        ({"repeated": 2}, "repeated", "warn"),
        ({"suppressed": {"bounce": 3}}, "suppressions", "good"),
        ({}, "suppressions", "warn"),
    ],
)
def test_the_database_is_evidence(house: House, facts: dict[str, Any], which: str, state: str) -> None:
    assert states(house, **facts)[which] == state


def test_settings_are_evidence(house: House) -> None:
    assert states(house, settings=Settings(demo=Demo(per_hour=0)))["limits"] == "warn"
    assert states(house, settings=Settings(web=Web(second_factor="everybody")))["logins"] == "good"


def test_the_page_shows_every_criterion_and_no_certificate(operator: Browser) -> None:
    page = told(operator.get(PAGE).text)
    for one in (*CRITERIA, *OWN):
        assert f"{one.number} {one.title}" in page
    assert "This is no certificate" in page
    assert "has not been looked at yet" in page
    assert "certified" not in page.lower().replace("certified senders alliance", "")


def test_a_look_gives_evidence_for_both_pages(operator: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    found = (ok("reverse DNS", "8.8.8.7 is mail.example.net, and back"),)
    monkeypatch.setattr(health, "report", lambda settings, lookup: [Group("world", found)])
    operator.post(f"{PAGE}look", PAGE)
    assert "8.8.8.7 ist mail.example.net" in operator.get(PAGE, **{"Accept-Language": "de"}).text
    assert "8.8.8.7 is mail.example.net" in operator.get("/operator/health/").text


def test_what_the_operator_answers_is_kept_with_name_and_date(operator: Browser, house: House) -> None:
    operator.post(f"{PAGE}abuse", PAGE, done="on", note=" Ann reads it,\n  <b>daily</b> ")
    page = operator.get(PAGE).text
    assert "Ann reads it, &lt;b&gt;daily&lt;/b&gt;" in page
    assert "operator@relay.example" in page
    [entry] = house.changes()
    with house.store.read() as session:
        answer = csa.answers(session)["abuse"]
    assert (entry.action, entry.subject, entry.facts["done"]) == ("csa.answer", "abuse", True)
    assert (answer.done, answer.at, answer.by) == (True, NOW, "operator@relay.example")
    operator.post(f"{PAGE}abuse", PAGE, note="not any more")
    with house.store.read() as session:
        assert not csa.answers(session)["abuse"].done


def test_what_is_no_criterion_or_no_note_is_refused(operator: Browser, house: House) -> None:
    assert operator.post(f"{PAGE}nothing", PAGE).status_code == 404
    operator.post(f"{PAGE}abuse", PAGE, note="x" * 501)
    assert "a note has at most 500 printable characters" in operator.get(PAGE).text
    with house.store.read() as session:
        assert csa.answers(session) == {}


def test_only_the_operator_sees_it(owner: Browser) -> None:
    assert owner.get(PAGE).status_code == 404
    assert owner.post(f"{PAGE}abuse", "/accounts/shop/domains/new").status_code == 404
