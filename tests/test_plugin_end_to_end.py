"""A third party's plugin in the running relay: found by its entry point, asked, and told, also after a crash."""

from __future__ import annotations

import json
import smtplib
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.mail_sink import MailSink
from support.relay import ACCOUNT, Relay, wait_until
from support.shop import ORDER, Shop
from support.transit import Parts, check_signatures

# "called" has a line for each event that begins to be told, "told" for each that was; none ends about a recipient that
# "hold" names; while "broken" exists, it refuses mail with what is no refusal.
MODULE = '''\
    """Adds fields, refuses one recipient, and writes down what it is told."""

    import json
    import time
    from pathlib import Path

    from postmeter import Event, Message, Refused, Reply, hookimpl

    FOLDER = Path(__file__).parent


    @hookimpl
    def on_accept(message: Message) -> list[tuple[str, str]]:
        if (FOLDER / "broken").exists():
            raise Refused(Reply(250, "2.0.0", "Yes"))
        if any(recipient.forward_path == "unwanted@kunde.example" for recipient in message.recipients):
            raise Refused(Reply(550, "5.7.1", "The witness does not want this"))
        return [("X-Witness", message.id), ("Feedback-ID", f"witness:{message.connection_id}")]


    @hookimpl
    def on_sign(message: Message) -> list[tuple[str, str]]:
        return [("CFBL-Address", f"{message.id}@feedback.example; report=arf")]


    @hookimpl
    def on_deliver(event: Event) -> None:
        note(event)


    @hookimpl
    def on_bounce(event: Event) -> None:
        note(event)


    def note(event: Event) -> None:
        facts = {name: getattr(event, name) for name in ("id", "kind", "account_id", "message_id", "recipient", "at")}
        line = json.dumps({**facts, "facts": dict(event.facts)})
        write("called", line)
        while event.recipient in (FOLDER / "hold").read_text().split():
            time.sleep(0.02)
        write("told", line)


    def write(name: str, line: str) -> None:
        with (FOLDER / name).open("a") as file:
            file.write(line + "\\n")
'''


@dataclass(frozen=True)
class Witness:
    """The plugin's folder, which is on the relay's path, with what the plugin has written."""

    folder: Path

    def install(self) -> None:
        """As an installer would: the module and its metadata."""
        metadata = self.folder / "witness-1.0.dist-info"
        metadata.mkdir(parents=True)
        (self.folder / "witness_plugin.py").write_text(textwrap.dedent(MODULE))
        self.hold()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: witness\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[postmeter]\nwitness = witness_plugin\n")

    def hold(self, *recipients: str) -> None:
        """Let the plugin hang when it is told an event about one of these (not by others, as the sender's report)."""
        (self.folder / "hold").write_text(" ".join(recipients))

    def events(self, message_id: str, name: str = "told") -> list[Any]:
        """The events about a message that it was told (or began to be told: ``called``)."""
        path = self.folder / name
        lines = path.read_text().splitlines() if path.exists() else []
        return [event for event in map(json.loads, lines) if event["message_id"] == message_id]


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory) -> Witness:
    """The installed plugin."""
    made = Witness(tmp_path_factory.mktemp("site"))
    made.install()
    return made


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailSink]:
    """The recipients' mail server."""
    made = MailSink(tmp_path_factory.mktemp("sink"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def shop(witness: Witness, sink: MailSink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A customer of a relay with the plugin."""
    environment = {"PYTHONPATH": str(witness.folder)}
    folder = tmp_path_factory.mktemp("relay")
    relay = Relay(folder, f"127.0.0.1:{sink.port}", plugins=["witness"], environment=environment)
    try:
        relay.start()
        yield Shop(relay, relay.set_up())
        assert relay.stop() == 0
        assert "Traceback" not in relay.log()
    finally:
        relay.kill()


def test_the_fields_of_a_plugin_arrive_and_the_signature_covers_them(shop: Shop, sink: MailSink) -> None:
    identifier = shop.send("fields@kunde.example")
    (arrived,) = wait_until(lambda: sink.to("fields@kunde.example"), 20, "delivery")
    parts = Parts.of(arrived.content)
    assert parts.named(b"x-witness") == [f"X-Witness: {identifier}\r\n".encode()]
    assert parts.named(b"feedback-id") == [b"Feedback-ID: witness:1\r\n"]
    assert parts.named(b"cfbl-address") == [f"CFBL-Address: {identifier}@feedback.example; report=arf\r\n".encode()]
    assert arrived.content.endswith(ORDER)
    check_signatures(arrived.content, shop.access.records)
    for added in (b"Feedback-ID: witness", b"CFBL-Address: " + identifier.encode()):
        changed = arrived.content.replace(added, added[:-1] + b"!")
        assert changed != arrived.content
        with pytest.raises(AssertionError, match="False"):
            check_signatures(changed, shop.access.records)


def test_a_plugin_refuses_a_message_and_nothing_of_it_is_kept(shop: Shop, sink: MailSink) -> None:
    before = shop.relay.stats(), shop.relay.cli("quota", "show", ACCOUNT)["left"]
    with pytest.raises(smtplib.SMTPDataError) as refused:
        shop.send("other@kunde.example", "unwanted@kunde.example")
    assert (refused.value.smtp_code, refused.value.smtp_error) == (550, b"5.7.1 The witness does not want this")
    assert (shop.relay.stats(), shop.relay.cli("quota", "show", ACCOUNT)["left"]) == before
    assert sink.to("other@kunde.example") == []


def test_a_plugin_is_told_of_a_delivery_and_of_a_bounce(shop: Shop, sink: MailSink, witness: Witness) -> None:
    identifier = shop.send("anna@kunde.example", "unknown@kunde.example")
    told = wait_until(lambda: len(found := witness.events(identifier)) >= 2 and found, 20, shop.relay.log)
    events = {event["recipient"]: event for event in told}
    assert len(told) == 2
    check(events["anna@kunde.example"], "delivered", "250 2.0.0 Ok: kept", sink)
    check(events["unknown@kunde.example"], "bounced", "550 5.1.1 No such user", sink)


def check(event: Any, kind: str, reply: str, sink: MailSink) -> None:
    """AssertionError unless the event says what has happened, and where."""
    assert (event["kind"], event["account_id"]) == (kind, 1)
    facts = event["facts"]
    assert (facts["reply"], facts["attempt"], facts["tls"]) == (reply, 1, "TLSv1.3")
    assert (facts["remote"], facts["address"], facts["port"]) == ("127.0.0.1", "127.0.0.1", sink.port)


def test_what_a_plugin_was_being_told_when_the_relay_was_killed_is_told_again(shop: Shop, witness: Witness) -> None:
    witness.hold(*(recipients := ("bert@kunde.example", "unknown-2@kunde.example")))
    identifier = shop.send(*recipients)
    wait_until(lambda: witness.events(identifier, "called"), 20, shop.relay.log)
    wait_until(lambda: all(one["final_at"] for one in shop.relay.message(identifier)["recipients"]), 20, "both final")
    wait_until(lambda: not shop.relay.queue()["total"], 20, "the notification has left as well")
    shop.relay.kill()
    assert witness.events(identifier) == []
    witness.hold()
    shop.relay.start()
    told = wait_until(lambda: len(found := witness.events(identifier)) >= 2 and found, 20, shop.relay.log)
    assert {(event["kind"], event["recipient"]) for event in told} == {
        ("delivered", "bert@kunde.example"),
        ("bounced", "unknown-2@kunde.example"),
    }
    begun = [event["id"] for event in witness.events(identifier, "called")]
    assert begun.count(told[0]["id"]) == 2  # the one that was interrupted


def listed(shop: Shop) -> Any:
    """What `plugin list` says of it."""
    (found,) = [one for one in shop.relay.cli("plugin", "list") if one["name"] == "witness"]
    return found


def test_an_event_is_told_again_while_the_relay_runs(shop: Shop, witness: Witness) -> None:
    identifier = shop.send("carla@kunde.example")
    (event,) = wait_until(lambda: witness.events(identifier), 20, shop.relay.log)
    wait_until(lambda: not listed(shop)["cursor"]["lag"], 20, "the cursor has moved")
    stands = listed(shop)["cursor"]
    assert shop.relay.cli("plugin", "replay", "witness", str(event["id"])) == {"plugin": "witness", "events": 1}
    assert wait_until(lambda: len(told := witness.events(identifier)) == 2 and told, 20, shop.relay.log) == [event] * 2
    wait_until(lambda: listed(shop)["cursor"] == stands, 20, "the wish is fulfilled, and the cursor has not moved")


def test_it_is_listed_and_so_is_that_it_is_not_asked_any_more(shop: Shop, witness: Witness) -> None:
    one = listed(shop)
    assert (one["version"], one["state"], one["policy"], one["time_limit"]) == ("1.0", "enabled", "tempfail", 2)
    assert one["hooks"] == ["on_accept", "on_sign", "on_deliver", "on_bounce"]
    assert (one["order"], one["troubles"], one["last_failure"]) == ({"on_accept": 1, "on_sign": 1}, [], None)
    (witness.folder / "broken").touch()
    for _ in range(10):  # there are two workers, each of which finds it out for itself
        with pytest.raises(smtplib.SMTPDataError) as refused:
            shop.send("dora@kunde.example")
        assert refused.value.smtp_code == 451
    (trouble, *_) = wait_until(lambda: listed(shop)["troubles"], 20, shop.relay.log)
    assert (trouble["hook"], trouble["error"]) == ("on_accept", "it refused with what is no refusal")
    assert listed(shop)["last_failure"]["error"] == trouble["error"]
