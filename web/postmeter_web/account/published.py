"""What a sending domain has to publish, what it had better publish, and what the DNS says of that now."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from postmeter.errors import UnreachableError
from postmeter.health import policy, spf
from postmeter.health.policy import BAD, GOOD, UNKNOWN, Advice
from postmeter.health.sources import public, sources
from postmeter.health.spf import Lookup
from postmeter.message.signature import SigningKey
from postmeter.store.domain_checks import Look, record_check, record_looks
from postmeter.store.domains import DomainFacts, DomainKeys, Verdict, domain_keys, examine, judge
from postmeter_web.context import now, panel, reading
from postmeter_web.looks import FRESH, PATIENCE

REMEMBERED = 60.0  # seconds for which an answer about SPF is taken from memory: it takes many questions


@dataclass(frozen=True)
class Shown:
    """A record to publish: its ``state``, sentences about what was ``found``; one not ``required`` is advice."""

    subject: str  # dkim, spf or dmarc
    name: str
    value: str
    required: bool
    state: str
    texts: tuple[str, ...]
    found: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """A look at a domain: its records, those of waiting keys by selector, and what they mean.

    ``unknown``: the DNS gives no answer about one that counts, so that nothing can be said.
    """

    records: tuple[Shown, ...]
    waiting: Mapping[str, Shown]
    verdict: Verdict
    unknown: bool


def see(domain: str, keys: DomainKeys, fresh: float = FRESH) -> Seen:
    """Look at everything that the domain publishes; takes seconds at most."""
    names = policy.dmarc_names(domain)
    heard = panel().looks.look(panel().settings.delivery.resolver, (*keys.names, *names), now(), fresh=fresh)
    verdict = examine(keys, heard.records)
    replaced = {key.algorithm for key in keys.waiting if key.selector in verdict.ready}
    needed = {key.dns_name for key in keys.active if key.algorithm not in replaced}
    unknown = next((heard.unknown[name] for name in names if name in heard.unknown), "")
    dmarc = Advice(names[0], UNKNOWN, (unknown,), "") if unknown else policy.dmarc(domain, heard.records)
    return Seen(
        records=(
            *(_dkim(key, heard.records, heard.unknown) for key in keys.active),
            *(() if _relay_has_return_path() else (_advice("spf", _spf(domain)),)),
            _advice("dmarc", dmarc),
        ),
        waiting={key.selector: _dkim(key, heard.records, heard.unknown) for key in keys.waiting},
        verdict=verdict,
        unknown=bool(needed & set(heard.unknown)),
    )


def see_domain(facts: DomainFacts, **freshness: float) -> Seen:
    """Look at one of the accounts' domains."""
    with reading() as db:
        keys = domain_keys(db, panel().secrets, facts.account_id, facts.name)
    return see(facts.name, keys, **freshness)


def record(db: Session, facts: DomainFacts, seen: Seen) -> bool:
    """Whether mail is taken; a look at a verified domain is as patient as the relay's own, and ends nothing at once."""
    verdict = seen.verdict
    if facts.verified and verdict.problems:
        return record_looks(db, [Look(facts.account_id, facts.name, verdict.problems, now(), verdict.ready)])[0]
    return record_check(db, facts.account_id, facts.name, verdict.problems, now(), verdict.ready)


def lookup(seconds: float = PATIENCE, fresh: float = REMEMBERED) -> Lookup:
    """Asks the DNS through the panel's memory (``fresh``), for so many seconds in all; then UnreachableError."""
    end, looks, resolver, at = time.monotonic() + seconds, panel().looks, panel().settings.delivery.resolver, now()

    def ask(name: str, type: str) -> Sequence[str]:
        if time.monotonic() > end:
            raise UnreachableError(f"the DNS gives no answer about {name}: it took too long")
        heard = looks.look(resolver, [name], at, type, fresh)
        if name in heard.unknown:
            raise UnreachableError(heard.unknown[name])
        return heard.records[name]

    return ask


def _dkim(key: SigningKey, records: Mapping[str, Sequence[str]], unknown: Mapping[str, str]) -> Shown:
    name = key.dns_name
    found = tuple(records.get(name, ()))
    problems = (unknown[name],) if name in unknown else tuple(judge([key], records))
    state = UNKNOWN if name in unknown else BAD if problems else GOOD
    return Shown("dkim", name, key.dns_value(), True, state, problems, found if problems else ())


def _relay_has_return_path() -> bool:
    """Whether bounces come back to the relay, so that receivers ask for the SPF record of its domain."""
    smtp = panel().settings.smtp
    return bool(smtp.reports and smtp.return_path)


def _spf(domain: str) -> Advice:
    """Advice about the return path, which is the customer's own domain."""
    ask, hostname = lookup(), panel().settings.hostname
    ours = [one.address for one in public(sources(panel().settings))]
    try:
        named = spf.addresses([*ask(hostname, "A"), *ask(hostname, "AAAA")])
    except UnreachableError as error:
        return Advice(domain, UNKNOWN, (str(error),), "")
    return policy.sender_policy(domain, policy.mechanism(hostname, ours, named), ours, ask)


def _advice(subject: str, advice: Advice) -> Shown:
    return Shown(subject, advice.name, advice.value, False, advice.state, advice.texts, advice.found)
