"""`postmeter domain`: the domains that customers send from, and the records to publish for them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import click

from postmeter import looking
from postmeter.commands.common import Relay, pass_relay
from postmeter.console import json_option, plain, show
from postmeter.errors import UsageError
from postmeter.message.signature import ED25519, RSA
from postmeter.store import domains, returning
from postmeter.store.accounts import account_by_name
from postmeter.store.domain_checks import record_check
from postmeter.store.domains import DnsRecord, DomainFacts, NewKey


def register(group: click.Group) -> None:
    """Add the commands."""
    group.add_command(domain)


@click.group()
def domain() -> None:
    """The domains that customers send from."""


@domain.command()
@click.argument("account")
@click.argument("name", metavar="DOMAIN")
@click.option(
    "--list-help", metavar="URL", required=True, help="Where recipients find help: https URL or mail address."
)
@click.option("--trust", is_flag=True, help="Take the domain as verified without a look at the DNS.")
@click.option("--ed25519", is_flag=True, help="Make an Ed25519 key as well, for a second signature.")
@json_option
@pass_relay
def add(relay: Relay, account: str, name: str, list_help: str, trust: bool, ed25519: bool, as_json: bool) -> None:
    """Let an account send from DOMAIN (or change its List-Help) and print the DNS records to publish."""
    with relay.store.read() as session:
        account_by_name(session, account)
    keys = [NewKey.generate(algorithm) for algorithm in ((RSA, ED25519) if ed25519 else (RSA,))]
    with relay.store.write() as session:
        customer = account_by_name(session, account)
        added = domains.add_domain(session, relay.secrets, customer, name, list_help, trust, keys, time.time())
    data = {
        "account": account,
        "domain": added.name,
        "verified": added.verified,
        "records": [plain(record) for record in added.records],
    }
    state = "It is verified." if added.verified else f"Then run: postmeter domain check {added.name}"
    show(as_json, data, f"Publish for {added.name}:\n\n{published(added.records)}\n\n{state}")


@domain.command("set")
@click.argument("account")
@click.argument("name", metavar="DOMAIN")
@click.option("--return-path", "return_path", metavar="NAME", required=True, help="Empty: the relay's own domain.")
@json_option
@pass_relay
def set_(relay: Relay, account: str, name: str, return_path: str, as_json: bool) -> None:
    """Have bounces of DOMAIN's mail come back to NAME, a name below it, once it leads here; prints the records."""
    with relay.store.write() as session:
        customer = account_by_name(session, account)
        domain = domains.clean_domain(name)
        kept = returning.set_return_path(session, customer.id, domain, return_path, time.time())
    records = _return_records(relay, kept) if kept else ()
    data = {"account": account, "domain": domain, "return_path": kept, "records": [plain(one) for one in records]}
    text = f"Publish for {kept}:\n\n{published(records)}\n\nThen run: postmeter domain check {domain}"
    show(as_json, data, text if kept else f"Bounces of mail from {domain} come back to the relay's own domain.")


@domain.command()
@click.argument("name", metavar="DOMAIN")
@json_option
@pass_relay
@click.pass_context
def check(context: click.Context, relay: Relay, name: str, as_json: bool) -> None:
    """Look the records of DOMAIN up and say what is missing; ends with 1 when mail is not taken for it."""
    with relay.store.read() as session:
        known = domains.domains_of(session, None, name)
        keys = {d.account_id: domains.domain_keys(session, relay.secrets, d.account_id, d.name) for d in known}
    if not known:
        raise UsageError(f"no account has the domain {name}; add it with `postmeter domain add`")
    resolver = looking.resolver(relay.settings.delivery.resolver)
    names = [name for d in known for name in (*(r.name for r in d.records), *keys[d.account_id].names)]
    found = {name: looking.records(resolver, name) for name in dict.fromkeys(names)}
    seen = {d.account_id: domains.examine(keys[d.account_id], found) for d in known}
    with relay.store.write() as session:
        verified = {
            of: record_check(session, of, known[0].name, verdict.problems, time.time(), verdict.ready)
            for of, verdict in seen.items()
        }
        known = domains.domains_of(session, None, name)  # a new key has its record
    returned = {d.account_id: _look_at_return_path(relay, d) for d in known if d.return_path}
    advice = (
        [] if _has_dmarc(found[f"_dmarc.{known[0].name}"]) else [f"_dmarc.{known[0].name}: There is no policy yet."]
    )
    results = [
        _result(d, verified[d.account_id], seen[d.account_id].problems, [*advice, *returned.get(d.account_id, [])])
        for d in known
    ]
    show(
        as_json,
        {"domain": known[0].name, "accounts": results},
        "\n\n".join(_told(d, r) for d, r in zip(known, results, strict=True)),
    )
    if not all(verified.values()):
        context.exit(1)


def _look_at_return_path(relay: Relay, facts: DomainFacts) -> list[str]:
    """Look a return path up and keep what is found; what is wrong, if it is not in use because of that."""
    settings, name = relay.settings, facts.return_path
    resolver = looking.resolver(settings.delivery.resolver)
    own = looking.records(resolver, settings.smtp.return_path, "MX") if settings.smtp.return_path else []
    ours = returning.exchanges(settings.hostname, own)
    problem = returning.fault_in(name, looking.records(resolver, name, "MX"), ours)
    with relay.store.write() as session:
        sight = returning.Sight(facts.account_id, facts.name, name, problem, time.time())
        returning.record_sights(session, [sight])
    return (
        [problem, *(f"Publish for the return path: {one}" for one in _lines(_return_records(relay, name)))]
        if problem
        else []
    )


def _return_records(relay: Relay, name: str) -> tuple[DnsRecord, ...]:
    return returning.records(name, relay.settings.hostname, relay.settings.smtp.return_path)


def published(records: Sequence[DnsRecord]) -> str:
    """The records as a person enters them."""
    return "\n".join(f"  {line}" for line in _lines(records))


def _lines(records: Sequence[DnsRecord]) -> list[str]:
    return [f"{r.name}  {r.type}  {r.value}{'' if r.required else '   (advice)'}" for r in records]


def _has_dmarc(texts: Sequence[str]) -> bool:
    return any(text.replace(" ", "").startswith("v=DMARC1") for text in texts)


def _result(facts: DomainFacts, verified: bool, problems: Sequence[str], advice: Sequence[str]) -> dict[str, Any]:
    return {
        "account": facts.account,
        "verified": verified,
        "trusted": facts.trusted,
        "problems": list(problems),
        "advice": list(advice),
        "records": [plain(record) for record in facts.records],
    }


def _told(facts: DomainFacts, result: dict[str, Any]) -> str:
    state = "verified" if result["verified"] else "not verified"
    lines = [f"{facts.name} of account {facts.account}: {state}{' (on your word)' if facts.trusted else ''}"]
    lines += [f"  problem  {text}" for text in result["problems"]] + [f"  advice   {text}" for text in result["advice"]]
    if result["problems"] or result["advice"]:
        lines += ["", "Publish:", "", published(facts.records)]
    return "\n".join(lines)
