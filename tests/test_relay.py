"""One running relay, seen from outside: the signatures of what it sends, its queue, and the story of a message."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dkim
import pytest

from support import mail_sink
from support.mail_sink import MailSink
from support.relay import DOMAIN, HOSTNAME, Relay, wait_until
from support.shop import ORDER, SENDER, Shop
from support.transit import Parts, check_transit

OPERATOR = "operator.example"


@dataclass(frozen=True)
class Scene:
    """A customer of a running relay, its recipients' server, and the DKIM records of both domains."""

    shop: Shop
    sink: MailSink
    records: dict[str, str]

    @property
    def relay(self) -> Relay:
        """The relay."""
        return self.shop.relay


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The customer's domain has two keys, and the operator has one."""
    sink = MailSink(tmp_path_factory.mktemp("sink"))
    relay = Relay(tmp_path_factory.mktemp("relay"), f"127.0.0.1:{sink.port}", workers=1)
    try:
        relay.start()
        access = relay.set_up(ed25519=True)
        (own,) = relay.cli("key", "add", OPERATOR)["records"]
        yield Scene(Shop(relay, access), sink, {**access.records, own["name"]: own["value"]})
        assert relay.stop() == 0
        assert "Traceback" not in relay.log()
    finally:
        relay.kill()
        sink.close()


def verified(content: bytes, records: dict[str, str]) -> list[tuple[str, str, bool]]:
    """Domain, algorithm and verdict of every signature, from the top."""

    def look_up(name: bytes, timeout: int = 5) -> bytes | None:
        record = records.get(name.decode().rstrip("."))
        return record.encode() if record else None

    found = []
    for n, field in enumerate(Parts.of(content).named(b"dkim-signature")):
        tags = dict(re.findall(r"\b([ad])=([^;\s]+)", field.decode()))
        found.append((tags["d"], tags["a"], dkim.DKIM(content).verify(idx=n, dnsfunc=look_up)))
    return found


def test_a_mail_is_signed_with_both_keys_of_its_domain_and_with_the_operators(scene: Scene) -> None:
    scene.shop.send("signed@kunde.example")
    (arrived,) = wait_until(lambda: scene.sink.to("signed@kunde.example"), 20, "delivery")
    assert sorted(verified(arrived.content, scene.records)) == [
        (OPERATOR, "rsa-sha256", True),
        (DOMAIN, "ed25519-sha256", True),
        (DOMAIN, "rsa-sha256", True),
    ]
    customers = {name: value for name, value in scene.records.items() if name.endswith(DOMAIN)}
    check_transit(ORDER, arrived.content, customers)


def test_a_changed_mail_fails_all_three_signatures(scene: Scene) -> None:
    scene.shop.send("changed@kunde.example")
    (arrived,) = wait_until(lambda: scene.sink.to("changed@kunde.example"), 20, "delivery")
    changed = arrived.content.replace(b"Subject: Your order", b"Subject: Your prize")
    assert [verdict for _, _, verdict in verified(changed, scene.records)] == [False] * 3


@pytest.fixture
def greylisting(monkeypatch: pytest.MonkeyPatch) -> str:
    """What the recipients' server answers to ``greylisted@``."""
    said = "451 4.7.1 Greylisted, please come back later"
    monkeypatch.setitem(mail_sink.REFUSED, b"greylisted", said.encode())
    return said


def settled(relay: Relay, identifier: str) -> Any:
    """The message once all its recipients were tried."""

    def found() -> Any:
        message = relay.message(identifier)
        return message if all(one["attempts"] for one in message["recipients"]) else None

    return wait_until(found, 20, lambda: str(relay.message(identifier)))


def seconds(text: str) -> float:
    """Since 1970, of a time as the commands write it."""
    return datetime.datetime.fromisoformat(text).timestamp()


def test_queue_and_message_tell_of_a_greylisted_and_of_a_delivered_recipient(scene: Scene, greylisting: str) -> None:
    identifier = scene.shop.send("anna@kunde.example", "greylisted@kunde.example")
    message = settled(scene.relay, identifier)
    assert (message["id"], message["reverse_path"], message["header_from"]) == (identifier, SENDER, DOMAIN)
    assert message["message_id"] == f"<{identifier}@{HOSTNAME}>"
    delivered, deferred = message["recipients"]
    assert (delivered["forward_path"], delivered["state"]) == ("anna@kunde.example", "delivered")
    assert (deferred["forward_path"], deferred["state"]) == ("greylisted@kunde.example", "deferred")
    check_timeline(message["events"], scene.sink.port, greylisting)

    queue = scene.relay.queue()
    assert (queue["total"], queue["states"]) == (1, {"deferred": 1})
    assert queue["reasons"] == [{"state": "deferred", "reply": greylisting, "recipients": 1}]
    (waiting,) = queue["waiting"]
    assert (waiting["message_id"], waiting["forward_path"]) == (identifier, "greylisted@kunde.example")
    assert (waiting["attempts"], waiting["reply"]) == (1, greylisting)
    pause = seconds(waiting["next_attempt_at"]) - seconds(message["events"][-1]["at"])
    assert 299 < pause < 365  # five minutes, and up to a fifth more


def check_timeline(events: list[Any], port: int, greylisting: str) -> None:
    """Accepted, then one delivered and one deferred, each with where it was tried and over which TLS."""
    assert [event["kind"] for event in events[:-2]] == ["accepted"]
    by_recipient = {event["recipient"]: event for event in events[-2:]}
    assert [by_recipient[n]["kind"] for n in (0, 1)] == ["delivered", "deferred"]
    assert [by_recipient[n]["facts"]["reply"] for n in (0, 1)] == ["250 2.0.0 Ok: kept", greylisting]
    for event in by_recipient.values():
        facts = event["facts"]
        assert (facts["remote"], facts["address"], facts["port"]) == ("127.0.0.1", "127.0.0.1", port)
        assert (facts["tls"], facts["attempt"]) == ("TLSv1.3", 1)
        said = [text for _, _, text in facts["dialogue"]]
        assert said[-1] == facts["reply"]
        assert ("STARTTLS" in said) == (facts["session"] == 1)
    times = [seconds(event["at"]) for event in events]
    assert times == sorted(times)


def test_a_message_that_is_not_there_is_told_in_one_line(scene: Scene) -> None:
    done = scene.relay.command("message", "show", "NOSUCHMESSAGE", "--json")
    assert done.returncode != 0
    assert done.stderr.strip() == "postmeter: there is no message NOSUCHMESSAGE"
