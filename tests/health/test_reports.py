"""The look at what comes back: a port, a domain, its MX record and its SPF record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address

import pytest

from postmeter.config import Server, Settings, Smtp
from postmeter.errors import UnreachableError
from postmeter.health import reports
from postmeter.health.finding import Finding
from postmeter.health.sources import Ours

NAME, BOUNCES = "mail.example.net", "bounce.example.net"
OURS = ip_address("8.8.8.8")
PORT = ("0.0.0.0:25",)
GOOD = {
    (BOUNCES, "MX"): [f"10 {NAME}."],
    (BOUNCES, "TXT"): [f"v=spf1 a:{NAME} -all"],
    (NAME, "A"): [str(OURS)],
}

Zone = Mapping[tuple[str, str], Sequence[str]]


@pytest.fixture(autouse=True)
def one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine sends from one public address."""
    monkeypatch.setattr(reports, "sources", lambda settings: (Ours(OURS, NAME),))


def settings(port: tuple[str, ...] = PORT, domain: str = BOUNCES) -> Settings:
    return Settings(server=Server(hostname=NAME), smtp=Smtp(reports=port, return_path=domain))


def look(zone: Zone, **said: str) -> list[Finding]:
    def lookup(name: str, type: str) -> Sequence[str]:
        if not zone:
            raise UnreachableError(f"the DNS gives no answer about {name}: time-out")
        return zone.get((name, type), [])

    return list(reports.return_path(settings(**said), lookup))


@pytest.mark.parametrize(
    ("port", "domain", "state", "text"),
    [
        ((), "", "warning", "are not seen"),
        ((), BOUNCES, "warning", "are not seen"),
        (PORT, "", "warning", "of their own only"),
        (PORT, BOUNCES, "ok", f"come to {BOUNCES}"),
    ],
)
def test_a_port_and_a_domain_are_needed(port: tuple[str, ...], domain: str, state: str, text: str) -> None:
    [found] = reports.listener(settings(port, domain))
    assert found.state == state
    assert text in found.text


def test_a_domain_that_leads_here_and_lets_us_send_is_right() -> None:
    assert [found.state for found in look(GOOD)] == ["ok"]


@pytest.mark.parametrize(
    ("changed", "mend"),
    [
        ({(BOUNCES, "MX"): []}, "the MX record 10 mail.example.net."),
        ({(BOUNCES, "MX"): ["10 other.example."]}, "the MX record 10 mail.example.net."),
        ({(BOUNCES, "TXT"): ["v=spf1 -all"]}, 'the TXT record "v=spf1 a:mail.example.net -all"'),
        ({(BOUNCES, "TXT"): []}, 'the TXT record "v=spf1 a:mail.example.net -all"'),
        ({(BOUNCES, "TXT"): ["v=spf1 a", "v=spf1 mx"]}, "mend the TXT record"),
    ],
)
def test_what_is_wrong_is_said_with_how_to_mend_it(changed: Zone, mend: str) -> None:
    [found] = look({**GOOD, **changed})
    assert found.state == "problem"
    assert mend in found.mend


def test_a_silent_dns_is_a_warning() -> None:
    [found] = look({})
    assert found.state == "warning"


def test_without_a_domain_nothing_is_looked_up() -> None:
    assert look(GOOD, domain="") == []
