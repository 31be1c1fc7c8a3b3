"""The running relay against Debian's Postfix: `smtp-sink` with its failure switches, and a real Postfix as the MX."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from support.postfix import Postfix, postfix, smtp_sink
from support.relay import ACCOUNT, Relay, free_port, wait_until
from support.shop import ORDER, Shop

REPORTS = free_port()
PATIENCE = 30.0  # seconds for an attempt
LARGE = ORDER + b"x" * 76 + b"\r\n" + (b"y" * 76 + b"\r\n") * 20_000  # 1.5 MB

# Switches of smtp-sink(1) by domain; what becomes of the recipient at the first attempt, at which stage, in doubt?
MISHAPS: dict[str, tuple[tuple[str, ...], str, str, bool]] = {
    "plain.example": ((), "delivered", "content", False),
    "helo-only.example": (("-e",), "delivered", "content", False),
    "no-pipelining.example": (("-p",), "delivered", "content", False),
    "seven-bit.example": (("-8",), "delivered", "content", False),
    "slow-dot.example": (("-W", ".:2:1"), "delivered", "content", False),
    "refuses-mail.example": (("-f", "mail"), "deferred", "mail", False),
    "refuses-recipients.example": (("-f", "rcpt"), "bounced", "rcpt", False),
    "refuses-content.example": (("-f", "."), "bounced", "content", False),
    "defers-recipients.example": (("-r", "rcpt"), "deferred", "rcpt", False),
    "defers-content.example": (("-r", "."), "deferred", "content", False),
    "shuts-down-at-recipients.example": (("-Q", "rcpt"), "deferred", "rcpt", False),
    "shuts-down-at-the-dot.example": (("-Q", "."), "deferred", "content", False),
    "hangs-up-at-mail.example": (("-q", "mail"), "deferred", "mail", False),
    "hangs-up-at-data.example": (("-q", "data"), "deferred", "data", False),
    "hangs-up-at-the-dot.example": (("-q", "."), "deferred", "content", True),
    "refuses-too-early.example": (("-A", "1"), "bounced", "content", False),
}


@pytest.fixture(scope="module")
def mx() -> Iterator[Postfix]:
    """A Postfix that takes mail for real.example, and brings what it has to report to the relay."""
    with postfix("real.example", f"[127.0.0.1]:{REPORTS}") as made:
        yield made


@pytest.fixture(scope="module")
def shop(mx: Postfix, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A customer of a relay that knows all these servers."""
    with contextlib.ExitStack() as running:
        ports = {domain: running.enter_context(smtp_sink(*switches)) for domain, (switches, *_) in MISHAPS.items()}
        ports["real.example"] = mx.port
        routes = ", ".join(f'"{domain}" = "127.0.0.1:{port}"' for domain, port in ports.items())
        reports = f'reports = ["127.0.0.1:{REPORTS}"]\nreturn_path = "bounce.example"'
        settings = {"delivery": f"routes = {{ {routes} }}", "smtp": reports}
        relay = Relay(tmp_path_factory.mktemp("relay"), "", workers=1, settings=settings)
        try:
            relay.start()
            yield Shop(relay, relay.set_up())
            assert relay.stop() == 0
            assert "Traceback" not in relay.log()
        finally:
            relay.kill()


def tried(shop: Shop, identifier: str) -> Any:
    """What happened to a message whose recipients have all been tried."""

    def found() -> Any:
        message = shop.relay.message(identifier)
        return message if all(one["attempts"] for one in message["recipients"]) else None

    return wait_until(found, PATIENCE, lambda: f"an attempt\n{shop.relay.message(identifier)}\n{shop.relay.log()}")


def attempt(message: Any) -> dict[str, Any]:
    """The facts of the last attempt."""
    facts: dict[str, Any] = [event["facts"] for event in message["events"] if "stage" in event["facts"]][-1]
    return facts


def test_every_mishap_of_smtp_sink_has_its_outcome(shop: Shop) -> None:
    sent = {}
    for domain in MISHAPS:
        content = LARGE if domain == "refuses-too-early.example" else ORDER
        sent[domain] = shop.send(f"joe@{domain}", content=content)
    for domain, (_, state, stage, in_doubt) in MISHAPS.items():
        message = tried(shop, sent[domain])
        facts = attempt(message)
        found = (message["recipients"][0]["state"], facts["stage"], facts.get("possible_duplicate", False))
        assert found == (state, stage, in_doubt), f"{domain}: {facts}"
    stats = shop.relay.stats()
    assert stats["arrived"] == stats["delivered"] + stats["bounced"] + stats["queued"] + stats["suppressed"]


def test_postfix_takes_a_mail_over_tls_as_it_is_and_refuses_whom_it_does_not_know(shop: Shop, mx: Postfix) -> None:
    identifier = shop.send("joe@real.example", "ann@real.example", "nobody@real.example")
    message = tried(shop, identifier)
    assert [one["state"] for one in message["recipients"]] == ["delivered", "delivered", "bounced"]
    assert "5.1.1" in message["recipients"][2]["reply"]
    [arrived] = wait_until(lambda: mx.mails("joe"), PATIENCE, lambda: f"a mail\n{mx.log()}")
    assert arrived["Subject"] == "Your order"
    assert len(arrived.get_all("DKIM-Signature")) >= 1
    assert arrived.get_content() == "Thank you for your order.\n"
    assert attempt(message)["tls"].startswith("TLSv1.")
    assert "nrcpt=2" in mx.log()  # both in one transaction


def test_postfix_says_at_mail_that_a_message_is_too_large(shop: Shop, mx: Postfix) -> None:
    message = tried(shop, shop.send("joe@real.example", content=LARGE))
    assert message["recipients"][0]["state"] == "bounced"
    assert "5.3.4" in message["recipients"][0]["reply"]
    assert attempt(message)["stage"] == "mail"


def test_sessions_with_postfix_are_used_again(shop: Shop, mx: Postfix) -> None:
    before = mx.log().count(": connect from")
    for _ in range(5):
        tried(shop, shop.send("ann@real.example"))
    assert mx.log().count(": connect from") - before <= 1
    assert shop.relay.cli("queue")["states"].get("queued", 0) == 0
    assert shop.relay.cli("quota", "show", ACCOUNT)["overdraft"] == 0


def test_what_postfix_reports_later_is_recorded(shop: Shop, mx: Postfix) -> None:
    identifier = shop.send("moved@real.example")

    def bounced() -> Any:
        [recipient] = shop.relay.message(identifier)["recipients"]
        return recipient if recipient["state"] == "bounced" else None

    recipient = wait_until(bounced, PATIENCE, lambda: f"bounced: {shop.relay.message(identifier)}\n{mx.log()}")
    assert (recipient["failure"], recipient["reply"]) == ("hard.recipient", "There is nobody of that name any more")
    kinds = [event["kind"] for event in shop.relay.message(identifier)["events"] if event["recipient"] is not None]
    assert kinds[:2] == ["delivered", "bounced"]
    assert "moved@real.example" in {one["address"] for one in shop.relay.cli("suppression", "list", ACCOUNT)}
