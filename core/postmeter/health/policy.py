"""What a sending domain publishes for receivers' checks besides its DKIM keys: SPF and DMARC, judged with advice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dkim.util import InvalidTagValueList, parse_tag_value

from postmeter.errors import UnreachableError
from postmeter.health import spf
from postmeter.health.spf import Address, Broken, Lookup

GOOD, WARN, BAD, UNKNOWN = "good", "warn", "bad", "unknown"
POLICIES = ("none", "quarantine", "reject")


@dataclass(frozen=True)
class Advice:
    """What a record does or should do: its ``state``, sentences why, and what is best published under ``name``."""

    name: str
    state: str
    texts: tuple[str, ...]
    value: str
    found: tuple[str, ...] = ()


def dmarc_names(domain: str) -> tuple[str, ...]:
    """Where the policy of a domain may be: its own place, then those of the names above it (RFC 7489, 6.6.3)."""
    labels = domain.split(".")
    return tuple(f"_dmarc.{'.'.join(labels[n:])}" for n in range(max(1, len(labels) - 1)))


def dmarc(domain: str, found: Mapping[str, Sequence[str]]) -> Advice:
    """Advice about the DMARC policy, given the TXT texts under each of ``dmarc_names``."""
    names = dmarc_names(domain)
    best = f"v=DMARC1; p=none; rua=mailto:dmarc@{domain}"
    for name in names:
        texts = tuple(text for text in found.get(name, ()) if text.replace(" ", "").lower().startswith("v=dmarc1"))
        if len(texts) > 1:
            text = f"There are {len(texts)} DMARC policies; receivers ignore them all. Leave one."
            return Advice(name, BAD, (text,), texts[0], texts)
        if texts:
            return _policy(name, texts[0], own=name == names[0])
    text = "There is no DMARC policy. Gmail, Yahoo and Microsoft want one of everybody who sends much mail."
    return Advice(names[0], WARN, (text, "Begin with p=none, which changes nothing, and read the reports."), best)


def _policy(name: str, record: str, *, own: bool) -> Advice:
    try:
        tags = {key: value.strip().lower() for key, value in _tags(record).items()}
    except InvalidTagValueList:
        return Advice(
            name, BAD, ("The policy cannot be read: a part of it is not of the form tag=value.",), "", (record,)
        )
    policy = tags.get("p" if own else "sp", tags.get("p", ""))
    if policy not in POLICIES:
        return Advice(name, BAD, ("The policy has no p= of none, quarantine or reject.",), "", (record,))
    texts = [] if own else [f"The policy is that of {name.removeprefix('_dmarc.')}."]
    texts.append(_WORDS[policy])
    if "rua" not in tags:
        texts.append("It has no rua=, so nobody gets reports about mail that pretends to be yours.")
    if tags.get("adkim") == "s":
        texts.append("With adkim=s, only mail from exactly this domain passes, none from names below it.")
    state = WARN if policy == "none" or "rua" not in tags else GOOD
    better = record if "rua" in tags else f"{record.rstrip(' ;')}; rua=mailto:dmarc@{name.removeprefix('_dmarc.')}"
    return Advice(name, state, tuple(texts), better, (record,))


def _tags(record: str) -> dict[str, str]:
    return {tag.decode(): value.decode("utf-8", "replace") for tag, value in parse_tag_value(record.encode()).items()}


_WORDS = {
    "none": "p=none only watches. When the reports show no mail of yours that fails, make it p=quarantine.",
    "quarantine": "p=quarantine: mail that pretends to be yours is put aside.",
    "reject": "p=reject: mail that pretends to be yours is refused.",
}


def mechanism(hostname: str, sources: Sequence[Address], named: Sequence[Address]) -> str:
    """What lets our addresses send in an SPF record: ``a:`` when our name (``named``) has them all, else each."""
    if "." in hostname and set(sources) <= set(named):
        return f"a:{hostname}"
    return " ".join(f"ip{one.version}:{one}" for one in sources)


def sender_policy(domain: str, ours: str, sources: Sequence[Address], lookup: Lookup) -> Advice:
    """Advice about the SPF record of the domain in return paths; ``ours`` is our ``mechanism``."""
    try:
        texts = tuple(lookup(domain, "TXT"))
        record = spf.record_in(texts)
        if record is None:
            text = "There is no SPF record. Receivers look for one under the domain of the return path."
            return Advice(domain, WARN, (text,), f"v=spf1 {ours} ~all")
        results = {spf.check(one, domain, lookup) for one in sources}
    except Broken as error:
        found = tuple(text for text in texts if text.lower().startswith("v=spf1"))
        return Advice(domain, BAD, (f"Receivers cannot use the SPF record: {error}",), "", found)
    except UnreachableError as error:
        return Advice(domain, UNKNOWN, (str(error),), "")
    best, found = _with(record, ours), (record,)
    if {"all", "+all"} & set(record.lower().split()):
        return Advice(domain, BAD, ("The SPF record lets everybody send. End it with ~all or -all.",), best, found)
    if results == {"pass"} or (not sources and ours and ours in record.split()):
        return Advice(domain, GOOD, ("The SPF record lets this relay send.",), record, found)
    text = "The SPF record does not name this relay. DKIM is enough for DMARC, but some receivers want both."
    return Advice(domain, WARN, (text,), best, found)


def _with(record: str, ours: str) -> str:
    """The record with our mechanism in front of what decides about all others; nobody else is let through by that."""
    terms = [term for term in record.split() if term.lower() not in ("all", "+all")]
    ends = [n for n, term in enumerate(terms) if term.lower().startswith(("-all", "~all", "?all", "redirect="))]
    place = ends[0] if ends else len(terms)
    added = [] if ours in terms else [ours]
    return " ".join([*terms[:place], *added, *terms[place:], *([] if ends else ["~all"])])
