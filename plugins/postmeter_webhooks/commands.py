"""`postmeter webhook`: which systems are called, what they answered, and what is sent again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click
from sqlalchemy.orm import Session

from postmeter import Core, UsageError, check_url, console, pass_core
from postmeter_webhooks import deliveries, endpoints, ping
from postmeter_webhooks.again import catch_up
from postmeter_webhooks.body import rfc3339
from postmeter_webhooks.deliveries import DeliveryFacts
from postmeter_webhooks.directory import read_names
from postmeter_webhooks.endpoints import BY_HAND, Added, Endpoint
from postmeter_webhooks.settings import own

HEADS = ("Endpoint", "Account", "Connection", "URL", "Events", "State")


@dataclass(frozen=True)
class EndpointFacts:
    """An endpoint as shown to people; ``alive_at`` is its last success, or when it was added or switched on.

    ``off_at`` is when it was switched off, while it is.
    """

    endpoint: int
    account: str
    connection: str | None
    url: str
    events: tuple[str, ...]
    state: str
    created_at: float
    alive_at: float
    off_at: float | None


@click.group()
def webhook() -> None:
    """Systems that are called when something happens to mail."""


@webhook.command()
@click.argument("account")
@click.argument("url")
@click.option("--connection", metavar="NAME", help="Only what happens to this connection and its mail.")
@click.option("--event", "types", metavar="TYPE", multiple=True, help="Only this type; repeatable. Default: all.")
@console.json_option
@pass_core
def add(core: Core, account: str, url: str, connection: str | None, types: tuple[str, ...], as_json: bool) -> None:
    """Have a system called; prints its secret, which is shown only now."""
    check_url(url, allow_private=own(core).allow_private)
    with core.write() as session:
        customer = core.account(session, account)
        number = _connection_number(core, session, customer.id, connection)
        added = endpoints.add(session, core, customer.id, number, url, types, own(core).max_endpoints)
    _show_secret(added, as_json)


@webhook.command("list")
@click.argument("account", required=False)
@console.json_option
@pass_core
def list_(core: Core, account: str | None, as_json: bool) -> None:
    """The endpoints of an account, or of all."""
    with core.read() as session:
        number = None if account is None else core.account(session, account).id
        found = endpoints.every(session, core, number)
    data = [_endpoint_data(core, endpoint) for endpoint in found]
    rows = [
        (one["endpoint"], one["account"], one["connection"] or "", one["url"], _types(one["events"]), one["state"])
        for one in data
    ]
    console.show(as_json, data, console.table(HEADS, rows) if rows else "There are no endpoints.")


@webhook.command()
@click.argument("endpoint", type=int)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many deliveries.")
@console.json_option
@pass_core
def show(core: Core, endpoint: int, limit: int, as_json: bool) -> None:
    """An endpoint and its newest deliveries."""
    with core.read() as session:
        found = endpoints.find(session, core, endpoint)
        sent = deliveries.recent(session, endpoint, limit)
    data = _endpoint_data(core, found)
    shown = {**data, "events": _types(data["events"])}
    lines = [(name.removesuffix("_at").capitalize(), "" if value is None else value) for name, value in shown.items()]
    heads = ("Created", "Event", "Type", "State", "Attempts", "Next", "Answer")
    text = console.pairs(lines) + ("\n\n" + console.table(heads, [_sent_row(one) for one in sent]) if sent else "")
    console.show(as_json, {**data, "deliveries": [_sent_data(one) for one in sent]}, text)


@webhook.command()
@click.argument("endpoint", type=int)
@console.json_option
@pass_core
def remove(core: Core, endpoint: int, as_json: bool) -> None:
    """Forget an endpoint and all that was or is to be sent to it."""
    with core.write() as session:
        endpoints.find(session, core, endpoint)
        endpoints.remove(session, endpoint)
    console.show(as_json, {"endpoint": endpoint, "removed": True}, f"Endpoint {endpoint} is forgotten.")


@webhook.command()
@click.argument("endpoint", type=int)
@console.json_option
@pass_core
def rotate(core: Core, endpoint: int, as_json: bool) -> None:
    """Renew an endpoint's secret; for 24 hours the old one signs too."""
    with core.write() as session:
        endpoints.find(session, core, endpoint)
        added = endpoints.rotate(session, core, endpoint)
    _show_secret(added, as_json)


@webhook.command()
@click.argument("endpoint", type=int)
@console.json_option
@click.pass_context
@pass_core
def test(core: Core, context: click.Context, endpoint: int, as_json: bool) -> None:
    """Send test.ping now and print the answer; the exit code is 1 unless it is 2xx."""
    with core.read() as session:
        found = endpoints.find(session, core, endpoint)
    sent = ping.send(core, found)
    with core.write() as session:
        ping.keep(session, sent, core.clock())
    answer = sent.answer
    data = {"endpoint": endpoint, "ok": answer.ok, "status": answer.status, "answer": answer.text}
    console.show(as_json, data, f"{'Taken' if answer.ok else 'Not taken'}: {answer.text}")
    if not answer.ok:
        context.exit(1)


@webhook.command()
@click.argument("endpoint", type=int)
@click.option("--since", metavar="TIME", help="What happened since then: 2026-11-23 or 2026-11-23T08:00 (UTC).")
@click.option("--event-id", type=int, metavar="N", help="The event of this number.")
@click.option("--failed", is_flag=True, help="What has failed.")
@console.json_option
@pass_core
def replay(core: Core, endpoint: int, since: str | None, event_id: int | None, failed: bool, as_json: bool) -> None:
    """Send finished deliveries again, under the same webhook-id; conditions add up.

    With --since alone, also what happened since then and the endpoint was never to be told: while it was off, or before
    it was added.
    """
    if since is None and event_id is None and not failed:
        raise UsageError("say what is to be sent again: --since, --event-id or --failed")
    begin = None if since is None else _time(since)
    with core.write() as session:
        found = endpoints.find(session, core, endpoint)
        if found.off:
            raise UsageError(f"endpoint {endpoint} is switched off; `postmeter webhook enable {endpoint}` first")
        now = core.clock()
        number = deliveries.replay(session, endpoint, now, since=begin, event_id=event_id, failed=failed)
    if begin is not None and event_id is None and not failed:
        number += catch_up(core, found, begin)
    console.show(as_json, {"endpoint": endpoint, "deliveries": number}, f"{number:,} deliveries will be sent again.")


@webhook.command()
@click.argument("endpoint", type=int)
@console.json_option
@pass_core
def enable(core: Core, endpoint: int, as_json: bool) -> None:
    """Call an endpoint again that was switched off; prints since when it was."""
    with core.write() as session:
        off_at = endpoints.find(session, core, endpoint).off_at
        endpoints.switch_on(session, endpoint, core.clock())
    since = None if off_at is None else rfc3339(off_at)
    text = f"Endpoint {endpoint} is called from now on" + (f"; it was off since {since}." if since else ".")
    console.show(as_json, {"endpoint": endpoint, "enabled": True, "off_since": since}, text)


@webhook.command()
@click.argument("endpoint", type=int)
@console.json_option
@pass_core
def disable(core: Core, endpoint: int, as_json: bool) -> None:
    """Call an endpoint no more; what waits for it counts as failed."""
    with core.write() as session:
        endpoints.find(session, core, endpoint)
        endpoints.switch_off(session, endpoint, BY_HAND, core.clock())
    console.show(as_json, {"endpoint": endpoint, "enabled": False}, f"Endpoint {endpoint} is called no more.")


def _connection_number(core: Core, session: Session, account_id: int, name: str | None) -> int | None:
    """The number of the account's connection of that name; UsageError when there is none."""
    if name is None:
        return None
    found = [one.id for one in core.connections(session, account_id) if one.name == name]
    if not found:
        raise UsageError(f"the account has no connection {name!r}")
    return found[0]


def _time(text: str) -> float:
    """A time that a person wrote, UTC unless it says otherwise, in seconds since the epoch."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a time such as 2026-11-23 or 2026-11-23T08:00") from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _show_secret(added: Added, as_json: bool) -> None:
    data = {"endpoint": added.endpoint, "secret": added.secret}
    text = console.pairs([("Endpoint", str(added.endpoint)), ("Secret", f"{added.secret} (shown only now)")])
    console.show(as_json, data, text)


def _endpoint_data(core: Core, endpoint: Endpoint) -> dict[str, Any]:
    names = read_names(core, endpoint.account_id)
    facts = EndpointFacts(
        endpoint=endpoint.id,
        account=names.account,
        connection=names.connections.get(endpoint.connection_id or 0),
        url=endpoint.url,
        events=endpoint.types,
        state=endpoint.off or "on",
        created_at=endpoint.created_at,
        alive_at=endpoint.alive_at,
        off_at=endpoint.off_at,
    )
    data: dict[str, Any] = console.plain(facts)
    return data


def _types(types: list[str]) -> str:
    return ", ".join(types) or "all"


def _sent_data(one: DeliveryFacts) -> dict[str, Any]:
    data: dict[str, Any] = console.plain(one)
    return data


def _sent_row(one: DeliveryFacts) -> tuple[object, ...]:
    data = _sent_data(one)
    event = "" if one.event_id is None else str(one.event_id)
    return (data["created_at"], event, one.type, one.state, one.attempts, data["next_at"] or "", one.answer)
