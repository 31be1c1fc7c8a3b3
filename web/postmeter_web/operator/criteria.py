"""The criteria of the Certified Senders Alliance that concern a relay for transactional mail, and their evidence."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flask_babel import gettext, lazy_gettext, ngettext

from postmeter.config import Settings
from postmeter.health.finding import OK, PROBLEM, Finding
from postmeter.store.csa import Facts
from postmeter_web.sentences import in_words
from postmeter_web.show import day, number, percent

GOOD, WARN, BAD, UNKNOWN = "good", "warn", "bad", "unknown"
ENOUGH = 200  # recipients: of fewer a rate says nothing
MOST_BOUNCES, MOST_COMPLAINTS, TOO_MANY_COMPLAINTS = 0.01, 0.001, 0.003
HISTORY = 90 * 86_400.0  # seconds of sending that the alliance wants to see
GENERIC = re.compile(
    r"\d{1,3}[-.]\d{1,3}[-.]\d{1,3}|(?:^|[.-])(?:dyn|dynamic|dsl|dial|dialup|dhcp|pool|static|ip)\d*[.-]"
)


@dataclass(frozen=True)
class Evidence:
    """What is known to judge by; ``findings`` of the last look at the health, None: there was none yet."""

    settings: Settings
    facts: Facts
    findings: Sequence[Finding] | None
    now: float


@dataclass(frozen=True)
class Judged:
    """How a criterion is met, and why one can say so."""

    state: str
    texts: tuple[str, ...]

    @classmethod
    def of(cls, state: str, *texts: str) -> Judged:
        """A state, and sentences why."""
        return cls(state, texts)


@dataclass(frozen=True)
class Criterion:
    """A criterion that the relay judges by itself; ``number`` is that of the alliance's checklist."""

    number: str
    title: str
    judge: Callable[[Evidence], Judged]


@dataclass(frozen=True)
class Own:
    """A criterion that only the operator can answer for."""

    key: str
    number: str
    title: str


def _found(evidence: Evidence, *checks: str) -> Judged:
    """By what the look at the health has found."""
    if evidence.findings is None:
        return Judged.of(UNKNOWN, gettext("Not looked at yet."))
    found = [one for one in evidence.findings if one.check in checks]
    if not found:
        return Judged.of(UNKNOWN, gettext("This relay has no public address of its own to look at."))
    bad = [one for one in found if one.state != OK]
    state = GOOD if not bad else BAD if any(one.state == PROBLEM for one in bad) else WARN
    return Judged.of(state, *(in_words(one.text) for one in bad or found))


def _sources(evidence: Evidence) -> Judged:
    return _found(evidence, "source addresses")


def _names(evidence: Evidence) -> Judged:
    name = evidence.settings.hostname
    if GENERIC.search(name):
        text = gettext("%(name)s looks like the name of a dial-up line; such names are refused.", name=name)
        return Judged.of(BAD, text)
    return _found(evidence, "reverse DNS")


def _contact(evidence: Evidence) -> Judged:
    return _found(evidence, "mail to the host name")


def _sender_policy(evidence: Evidence) -> Judged:
    return _found(evidence, "SPF of the host name")


def _certificate(evidence: Evidence) -> Judged:
    told = gettext("Mail is taken with TLS 1.2 or newer only, and sent with TLS wherever the receiver offers it.")
    found = _found(evidence, "certificate", "names of the certificate")
    return Judged.of(found.state, told, *found.texts)


def _signed(evidence: Evidence) -> Judged:
    told = gettext("Nothing leaves without a DKIM signature of the sender's domain, with 2048 bits or more.")
    if evidence.facts.operator_key:
        return Judged.of(GOOD, told, gettext("The relay signs in addition with a key of its own."))
    more = gettext("The relay has no key of its own yet, by which complaints could be counted: postmeter key add.")
    return Judged.of(WARN, told, more)


def _list_help(evidence: Evidence) -> Judged:
    facts = evidence.facts
    if facts.without_help:
        text = ngettext("%(num)d domain has no List-Help.", "%(num)d domains have no List-Help.", facts.without_help)
        return Judged.of(BAD, text)
    told = gettext("Each message has exactly one List-Help, covered by DKIM.")
    return Judged.of(GOOD, told, gettext("%(number)s verified domains have theirs.", number=facts.domains))


def _bounces(evidence: Evidence) -> Judged:
    totals = evidence.facts.totals
    tried = totals.delivered + totals.bounced
    over = [
        one.account
        for one in evidence.facts.accounts
        if one.delivered + one.bounced >= ENOUGH and one.bounced / (one.delivered + one.bounced) > MOST_BOUNCES
    ]
    return _rate(totals.bounced, tried, MOST_BOUNCES, MOST_BOUNCES, over)


def _complaints(evidence: Evidence) -> Judged:
    if not evidence.settings.smtp.reports:
        return Judged.of(UNKNOWN, gettext("Complaints are not received: smtp.reports is empty."))
    totals = evidence.facts.totals
    over = [
        one.account
        for one in evidence.facts.accounts
        if one.delivered >= ENOUGH and one.complained / one.delivered > MOST_COMPLAINTS
    ]
    return _rate(totals.complained, totals.delivered, MOST_COMPLAINTS, TOO_MANY_COMPLAINTS, over)


def _rate(part: int, whole: int, most: float, too_many: float, over: list[str]) -> Judged:
    if whole < ENOUGH:
        return Judged.of(
            UNKNOWN, gettext("Fewer than %(number)s recipients in seven days say nothing yet.", number=ENOUGH)
        )
    told = gettext(
        "%(part)s of %(whole)s in seven days, %(share)s.",
        part=number(part),
        whole=number(whole),
        share=percent(part, whole),
    )
    more = [gettext("Above the limit: %(accounts)s.", accounts=", ".join(over))] if over else []
    state = BAD if part / whole > too_many else WARN if part / whole > most or over else GOOD
    return Judged.of(state, told, *more)


def _repeated(evidence: Evidence) -> Judged:
    if not evidence.facts.repeated:
        return Judged.of(GOOD, gettext("No address that is still written to has bounced three times in seven days."))
    text = ngettext(
        "%(num)d address has bounced three times in seven days and is still written to.",
        "%(num)d addresses have bounced three times in seven days and are still written to.",
        evidence.facts.repeated,
    )
    return Judged.of(WARN, text)


def _suppressions(evidence: Evidence) -> Judged:
    held = evidence.facts.suppressed
    told = gettext(
        "Suppressed addresses are refused when a message names them. There are %(bounce)s for bounces, "
        "%(complaint)s for complaints, %(manual)s by hand.",
        bounce=number(held.get("bounce", 0)),
        complaint=number(held.get("complaint", 0)),
        manual=number(held.get("manual", 0)),
    )
    return Judged.of(GOOD if sum(held.values()) else WARN, told)


def _limits(evidence: Evidence) -> Judged:
    demo, facts = evidence.settings.demo, evidence.facts
    told = gettext(
        "Accounts can be blocked and connections capped: %(blocked)s are blocked, %(capped)s capped.",
        blocked=facts.blocked,
        capped=facts.capped,
    )
    if not demo.per_hour:
        return Judged.of(WARN, told, gettext("New accounts have no hourly limit: demo.per_hour is 0."))
    more = gettext("New accounts send to %(number)s recipients an hour at most.", number=demo.per_hour)
    return Judged.of(GOOD, told, more)


def _logins(evidence: Evidence) -> Judged:
    facts, who = evidence.facts, evidence.settings.web.second_factor
    told = gettext(
        "%(some)s of %(all)s people have a second factor; it is demanded of: %(who)s.",
        some=facts.users_with_factor,
        all=facts.users,
        who=_WHO[who],
    )
    return Judged.of(GOOD if who == "everybody" else WARN, told)


_WHO = {
    "nobody": lazy_gettext("nobody"),
    "operators": lazy_gettext("operators"),
    "everybody": lazy_gettext("everybody"),
}


def _history(evidence: Evidence) -> Judged:
    since = evidence.facts.since
    if since is None:
        return Judged.of(BAD, gettext("No mail has been sent yet."))
    state = GOOD if evidence.now - since >= HISTORY else WARN
    return Judged.of(state, gettext("Mail has been sent since %(day)s; three months are wanted.", day=day(since)))


def _form(_evidence: Evidence) -> Judged:
    return Judged.of(GOOD, gettext("Messages that do not follow RFC 5322 are refused, as are line ends that smuggle."))


def _relaying(_evidence: Evidence) -> Judged:
    return Judged.of(
        GOOD, gettext("Nobody sends without TLS and a log-in, nor from a domain that is not verified for him.")
    )


def _links(_evidence: Evidence) -> Judged:
    return Judged.of(GOOD, gettext("The relay changes no links and has no redirects of its own."))


def _complaints_field(_evidence: Evidence) -> Judged:
    text = gettext(
        "Only members may set it. The relay removes it from customers' mail, and its DKIM signatures cover the field."
    )
    return Judged.of(GOOD, text)


CRITERIA = (
    Criterion("1.2", lazy_gettext("Three months of sending"), _history),
    Criterion("2.2.1", lazy_gettext("All sending addresses can be named"), _sources),
    Criterion("2.2.6", lazy_gettext("PTR record, host name and greeting agree and are no generic ones"), _names),
    Criterion("1.1.3", lazy_gettext("Messages and SMTP follow the standards"), _form),
    Criterion("1.2.6", lazy_gettext("No open relay"), _relaying),
    Criterion("1.2.6", lazy_gettext("Protected by TLS"), _certificate),
    Criterion("1.1.3", lazy_gettext("DKIM on every message"), _signed),
    Criterion("1.1.3", lazy_gettext("SPF of the host name"), _sender_policy),
    Criterion("1.1.3", lazy_gettext("List-Help on every transactional message"), _list_help),
    Criterion("1.2.2", lazy_gettext("Bounces: at most 1.0 %"), _bounces),
    Criterion("1.2.2", lazy_gettext("Complaints: at most 0.1 %"), _complaints),
    Criterion("1.2.2", lazy_gettext("An address leaves after three bounces"), _repeated),
    Criterion("1.2.2", lazy_gettext("Suppressed addresses are not written to"), _suppressions),
    Criterion("1.2.2", lazy_gettext("Customers can be limited and blocked"), _limits),
    Criterion("1.2.3", lazy_gettext("Log-ins are protected"), _logins),
    Criterion("1.2.1", lazy_gettext("Mail to postmaster and abuse arrives"), _contact),
    Criterion("1.2.4", lazy_gettext("Redirects can be switched off"), _links),
    Criterion("1.2.5", lazy_gettext("X-CSA-Complaints is covered by DKIM"), _complaints_field),
)

OWN = (
    Own("website", "1.1.1", lazy_gettext("Postal address and a digital contact are easy to find on your website")),
    Own("privacy", "1.1.2", lazy_gettext("There is information about privacy")),
    Own("control", "1.2", lazy_gettext("Your company operates and controls the platform itself")),
    Own("abuse", "1.2.1", lazy_gettext("abuse@ of your domain is read and answered within 24 hours on working days")),
    Own("contracts", "1.2.2", lazy_gettext("Customers are bound by contract to the alliance's criteria, and vetted")),
    Own("exclusive", "2.2.2", lazy_gettext("The servers send commercial mail only")),
    Own("token", "2.2.5", lazy_gettext("Each sending host is proven to be yours, by the DNS token or WHOIS")),
    Own("samples", "2.2.6", lazy_gettext("Sample mails of three customers and the list of hosts are at hand")),
)
