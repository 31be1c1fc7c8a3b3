"""A test mail that the panel puts into the store is delivered by the running relay, like the shop's own."""

from __future__ import annotations

import email
import time

from postmeter.config import Server, Settings
from postmeter.store import trial
from postmeter.store.engine import Store
from support.mail_sink import MailSink
from support.relay import HOSTNAME, Access, Relay, wait_until


def test_a_test_mail_arrives_signed_and_with_its_help(relay: Relay, access: Access, sink: MailSink) -> None:
    data, to = relay.folder / "data", "trial@kunde.example"
    settings = Settings(server=Server(hostname=HOSTNAME, data=str(data)))
    store = Store.open(settings.store_url)
    with store.write() as session:
        identifier = trial.send(session, settings, access.username, to, "Test", "It works.\n", time.time())
    store.close()
    [arrived] = wait_until(lambda: sink.to(to), 20, "delivery")
    mail = email.message_from_bytes(arrived.content)
    assert mail["DKIM-Signature"]
    assert "list-help" in mail["DKIM-Signature"].lower()
    assert mail["List-Help"] == "<https://shop.example/help>"
    assert identifier in mail["Received"]
    told = wait_until(lambda: _final(relay, identifier), 20, "the outcome")
    assert told == "delivered"


def _final(relay: Relay, identifier: str) -> str:
    state = relay.cli("message", "show", identifier)["recipients"][0]["state"]
    return state if state in ("delivered", "bounced") else ""
