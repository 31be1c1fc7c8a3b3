"""The running relay and what comes back: mail leaves with return paths of ours, reports about it change the books."""

from __future__ import annotations

import re
import smtplib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.mail_sink import MailSink
from support.relay import HOSTNAME, Relay, free_port, wait_until
from support.shop import Shop

CORPUS = Path(__file__).parent / "message" / "corpus" / "reports"
BOUNCES = "bounce.relay.example"
OPERATOR = "postmaster@operator.example"


@dataclass(frozen=True)
class Scene:
    """A customer of a running relay, the mail server of everybody, and the port for reports."""

    shop: Shop
    sink: MailSink
    port: int

    @property
    def relay(self) -> Relay:
        """The relay."""
        return self.shop.relay

    def send(self, recipient: str) -> tuple[str, str]:
        """Have a mail delivered; its id and the reverse path that it left with."""
        identifier = self.shop.send(recipient)
        arrived = wait_until(lambda: self.sink.to(recipient), 20, self.relay.log)
        return identifier, arrived[-1].mail_from.partition(b">")[0].lstrip(b"<").decode()

    def state(self, identifier: str) -> str:
        """That of a message's only recipient."""
        state: str = self.relay.message(identifier)["recipients"][0]["state"]
        return state

    def report(self, name: str, recipient: str, **words: str) -> tuple[int, bytes]:
        """Bring a report of the corpus to an address; what the port says to its content."""
        text = (CORPUS / f"{name}.eml").read_text("utf-8")
        for old, new in words.items():
            text = re.sub(old, new, text)
        with smtplib.SMTP("127.0.0.1", self.port, "mx.example.org", timeout=20) as client:
            client.ehlo_or_helo_if_needed()
            client.mail("")
            code, said = client.rcpt(recipient)
            return client.data(text.encode()) if code == 250 else (code, said)

    def kinds(self, identifier: str) -> list[str]:
        """What happened to a message."""
        return [event["kind"] for event in self.relay.message(identifier)["events"]]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One worker with a port for reports."""
    sink, port = MailSink(tmp_path_factory.mktemp("sink")), free_port()
    lines = f'reports = ["127.0.0.1:{port}"]\nreturn_path = "{BOUNCES}"\npostmaster = "{OPERATOR}"'
    folder = tmp_path_factory.mktemp("relay")
    relay = Relay(folder, f"127.0.0.1:{sink.port}", workers=1, settings={"smtp": lines})
    try:
        relay.start()
        yield Scene(Shop(relay, relay.set_up()), sink, port)
        assert relay.stop() == 0
        assert "Traceback" not in relay.log()
    finally:
        relay.kill()
        sink.close()


def test_a_late_bounce_reaches_the_books(scene: Scene) -> None:
    identifier, path = scene.send("joe@example.org")
    assert re.fullmatch(rf"b\+{identifier.lower()}\.0\.[a-z2-7]{{16}}@{re.escape(BOUNCES)}", path)
    wait_until(lambda: scene.state(identifier) == "delivered", 20, scene.relay.log)
    before: Any = scene.relay.stats()
    assert scene.report("postfix_user_unknown", path)[0] == 250
    assert scene.report("postfix_user_unknown", path.upper())[0] == 250
    assert scene.state(identifier) == "bounced"
    assert scene.kinds(identifier).count("bounced") == 1
    after = scene.relay.stats()
    assert (after["delivered"], after["bounced"]) == (before["delivered"] - 1, before["bounced"] + 1)
    with pytest.raises(smtplib.SMTPRecipientsRefused, match="suppressed"):
        scene.shop.send("joe@example.org")


def test_a_bounce_that_returns_a_mail_of_several_megabytes_is_heard(scene: Scene) -> None:
    identifier, path = scene.send("large@example.org")
    wait_until(lambda: scene.state(identifier) == "delivered", 20, scene.relay.log)
    returned = "\n" + ("x" * 70 + "\n") * 60_000
    assert scene.report("qmail_no_mailbox", path, **{r"\Z": returned})[0] == 250
    assert scene.state(identifier) == "bounced"


def test_a_complaint_at_the_address_for_feedback_finds_its_mail(scene: Scene) -> None:
    identifier, path = scene.send("joe@freemail.example")
    answer = scene.report("arf_abuse", f"fbl@{BOUNCES}", **{r"b\+01kxexample@bounce\.relay\.example": path})
    assert answer[0] == 250
    assert "complained" in scene.kinds(identifier)
    assert scene.relay.stats()["complained"] == 1


def test_a_complaint_without_return_path_finds_its_mail_by_the_trace(scene: Scene) -> None:
    identifier, _ = scene.send("ann@freemail.example")
    trace = (
        scene.sink.to("ann@freemail.example")[0].content.decode().partition("Received: ")[2].partition("\r\nList")[0]
    )
    answer = scene.report("arf_fraud", f"abuse@{HOSTNAME}", **{r"(?<=rfc822\n\n)": f"Received: {trace}\n"})
    assert answer[0] == 250
    assert "complained" in scene.kinds(identifier)


def test_mail_to_abuse_is_passed_on_as_it_came(scene: Scene) -> None:
    assert scene.report("a_person_answers", f"Abuse@{BOUNCES}")[1].startswith(b"2.0.0 Thank you; it is passed on")
    arrived = wait_until(lambda: scene.sink.to(OPERATOR), 20, scene.relay.log)
    original = (CORPUS / "a_person_answers.eml").read_bytes().replace(b"\n", b"\r\n")
    assert original.strip() in arrived[0].content
    assert arrived[0].mail_from.startswith(b"<>")


def test_a_forged_return_path_and_a_foreign_address_are_refused(scene: Scene) -> None:
    _, path = scene.send("kim@example.org")
    forged = path.replace(".0.", ".1.")
    assert scene.report("postfix_user_unknown", forged) == (550, scene.report("empty", forged)[1])
    assert scene.report("postfix_user_unknown", forged)[1].startswith(b"5.1.1")
    assert scene.report("postfix_user_unknown", "joe@example.org")[1].startswith(b"5.7.1")
