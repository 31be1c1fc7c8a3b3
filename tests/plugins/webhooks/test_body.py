"""What an endpoint is sent is what README.md of the plugin shows, field by field, for every type."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import attrs
import click
import pytest

from postmeter import Event, PluginSettings
from postmeter_webhooks import tables
from postmeter_webhooks.body import FIELDS, PING, TYPES, Names, data_of, render, rfc3339, status_of
from postmeter_webhooks.commands import webhook
from postmeter_webhooks.settings import WebhookSettings
from support.tenants import NOW
from support.webhooks import MESSAGE, Bench

README = (Path(__file__).parents[3] / "plugins" / "postmeter_webhooks" / "README.md").read_text("utf-8")
MONTH = 2_592_000

REMOTE = {"stage": "content", "remote": "mx.kunde.example", "address": "203.0.113.7", "port": 25, "tls": "TLSv1.3"}
FACTS: dict[str, dict[str, Any]] = {  # as the core records them
    "accepted": {"size": 2048},
    "deferred": {"reply": "451 4.7.1 Greylisted, come again", "attempt": 1, "class": "greylist", **REMOTE},
    "delayed": {"after": 902, "reply": "451 4.7.1 Greylisted, come again", "attempts": 3, "next_attempt_at": NOW},
    "delivered": {"reply": "250 2.0.0 Ok: queued as 4Xw3", "attempt": 2, **REMOTE},
    "bounced": {"reply": "550 5.1.1 No such user", "attempt": 1, "class": "hard.recipient", **REMOTE},
    "complained": {"feedback_type": "abuse"},
    "address_suppressed": {
        "address": "joe@kunde.example",
        "reason": "bounce",
        "detail": "550 5.1.1 No such user",
        "expires_at": None,
    },
    "quota_low": {"left": 4999, "threshold": 5000},
    "quota_exhausted": {"left": 0, "threshold": 5000},
    "quota_overdraft": {"overdraft": 1},
    "quota_booked": {"block": 3, "kind": "paid", "size": 25_000, "expires_at": NOW + MONTH, "renews": True},
    "quota_renewed": {
        "block": 4,
        "replaces": 3,
        "kind": "paid",
        "size": 25_000,
        "lost": 17,
        "expires_at": NOW + 2 * MONTH,
    },
    "quota_expiring": {"block": 4, "left": 900, "expires_at": NOW + 259_200},
    "quota_expired": {"block": 4, "size": 25_000, "lost": 900},
    "connection_resumed": {"connection": "web"},
    "connection_paused": {"connection": "web", "reason": "too many bounces"},
    "connection_warned": {
        "connection": "web",
        "reason": "20 of 1,000 recipients at Google within 7 days bounced, more than 1 %",
        "cause": "bounces",
        "provider": "Google",
        "count": 20,
        "recipients": 1_000,
    },
    "domain_verified": {"domain": "shop.example", "problems": []},
    "domain_broken": {"domain": "shop.example", "problems": ["pm1._domainkey.shop.example: There is no TXT record."]},
    "domain_refused": {
        "domain": "shop.example",
        "provider": "Google",
        "reply": "550 5.7.26 The mail is unauthenticated",
    },
}
OF_MESSAGES = ("accepted", "deferred", "delayed", "delivered", "bounced", "complained", "address_suppressed")


def event(bench: Bench, number: int, kind: str) -> Event:
    """An event of that kind as plugins are told it."""
    of_message = kind in OF_MESSAGES
    made = bench.event(number, kind, message=MESSAGE if of_message else None)
    recipient = None if kind in ("accepted", "address_suppressed") else made.recipient
    reference = "order:1234" if of_message else ""
    return replace(made, recipient=recipient, reference=reference, at=NOW + 0.123, facts=FACTS[kind])


def examples() -> dict[str, Any]:
    """The examples in the text, by type."""
    found = re.findall(r"^### `([a-z.]+)`\n.*?```json\n(.*?)```", README, re.MULTILINE | re.DOTALL)
    return {type: json.loads(example) for type, example in found}


def test_every_type_has_an_example_that_is_what_is_sent(bench: Bench) -> None:
    bench.add()
    bench.tell(*[event(bench, number, kind) for number, kind in enumerate(FACTS)])
    for _ in range(len(OF_MESSAGES)):
        bench.send(later=1)
    sent = {call["type"]: call for call in (json.loads(one.body) for one in bench.played.calls)}
    shown = examples()
    assert list(shown) == list(FIELDS)
    assert shown.pop(PING)["data"].keys() == set(FIELDS[PING])
    assert sent == shown
    assert set(FACTS) | {"expired"} == set(TYPES)


def test_what_has_expired_is_a_bounce_in_another_state() -> None:
    expired = Event(1, "expired", 1, MESSAGE, "joe@kunde.example", NOW, {"reply": "451 4.4.1 No answer"}, 7, "")
    data = data_of(expired, "message.bounced", Names("acme", {7: "web"}))
    assert (data["state"], data["status"], data["connection"]) == ("expired", "4.4.1", "web")


@pytest.mark.parametrize("kind", TYPES)
def test_what_is_not_known_is_null_and_no_field_is_left_out(kind: str) -> None:
    data = data_of(Event(1, kind, 1, None, None, NOW, {}), TYPES[kind], Names("acme"))
    assert tuple(data) == FIELDS[TYPES[kind]]


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        ("550 5.1.1 No such user", "5.1.1"),
        ("550-5.7.26 Several\n550 5.7.26 lines", "5.7.26"),
        ("250 2.0.0", "2.0.0"),
        ("550 No such user", None),
        ("550 5.1.1.1 odd", None),
        ("550 see 5.1.1", None),
        ("", None),
    ],
)
def test_the_status_is_read_from_the_reply(reply: str, status: str | None) -> None:
    assert status_of(reply) == status


def test_a_body_is_ascii_whatever_a_server_has_said() -> None:
    body = render("message.bounced", NOW, {"reply": '550 Grüße \ud800 \u2028 "</script>'})
    assert body.isascii()
    assert json.loads(body)["data"]["reply"] == '550 Grüße \ud800 \u2028 "</script>'


def test_a_timestamp_is_that_of_the_fact_in_utc() -> None:
    assert rfc3339(NOW + 0.5) == "2027-01-15T08:00:00.500Z"


# The rest of the text


def rows(heading: str) -> list[str]:
    """The first cells' code in the table below a heading."""
    part = re.split(r"^## ", README.partition(f"\n## {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    return [line for line in part.splitlines() if line.startswith("| `")]


def settings() -> Iterator[str]:
    """The rows of the table of settings as the class demands them."""
    shared = {field.name for field in attrs.fields(PluginSettings)}
    for field in attrs.fields(WebhookSettings):
        if field.name not in shared:
            default = json.dumps(field.default)
            yield f"| `plugins.webhooks.{field.name}` | `{default}` | {field.metadata['help']} |"


def test_the_table_of_settings_is_right() -> None:
    assert rows("Settings") == list(settings())


def test_the_table_of_commands_has_every_command_with_its_options() -> None:
    lines = {re.findall(r"^\| `postmeter webhook ([a-z]+)", row)[0]: row for row in rows("Commands")}
    assert set(lines) == set(webhook.commands)
    for name, command in webhook.commands.items():
        assert isinstance(command, click.Command)
        options = {opt for param in command.params for opt in param.opts if opt.startswith("--")}
        assert set(re.findall(r"--[a-z-]+", lines[name].split("` |")[0])) == options - {"--json", "--config"}


def test_the_tables_are_named() -> None:
    assert [re.findall(r"`([a-z_]+)`", row)[0] for row in rows("Tables")] == list(tables.metadata.tables)
