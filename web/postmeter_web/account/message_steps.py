"""A message's way step by step, from its events: what happened, when, where and in which words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask_babel import format_decimal, gettext

from postmeter.store.timeline import EventFacts, MessageFacts
from postmeter_web.account.failures import in_words


def N_(text: str) -> str:
    """Mark a text for translation."""
    return text


TITLES = {  # by kind of event: its colour and its title
    "accepted": ("", N_("Accepted")),
    "deferred": ("", N_("Not taken yet")),
    "delayed": ("", N_("Is late")),
    "notification_sent": ("", N_("The sender was notified")),
    "delivered": ("good", N_("Delivered")),
    "bounced": ("bad", N_("Bounced")),
    "expired": ("bad", N_("Given up: its time is over")),
    "suppressed": ("bad", N_("Not sent: the address is suppressed")),
    "cancelled": ("bad", N_("Cancelled")),
    "held": ("", N_("Held back")),
    "released": ("", N_("Released")),
    "retried": ("", N_("To be tried again at once")),
    "rerouted": ("", N_("The operator has it sent another way")),
    "bounced late": ("bad", N_("Bounced after it had been delivered")),
    "delay_reported": ("", N_("The receiving side says that it comes later")),
    "failure_reported": ("bad", N_("The receiving side says that it was not delivered")),
    "complained": ("bad", N_("The recipient has complained")),
    "address_suppressed": ("bad", N_("The address was suppressed")),
}


@dataclass(frozen=True)
class Said:
    """A line of a dialogue, ``seconds`` after the attempt began; ``ours``: this relay has said it."""

    seconds: str
    ours: bool
    text: str


@dataclass(frozen=True)
class Step:
    """Something that happened ``at`` (seconds since the epoch), that long ``after`` the message was accepted.

    ``recipient`` is its number and ``path`` its address (empty: all of them); ``attempt`` 0: it was none. ``stage``
    is where the attempt ended. ``duplicate``: it may have arrived though no answer came; ``in_doubt_before``: one that
    came before it may have. ``facts`` are names and values.
    """

    kind: str
    tone: str
    title: str
    at: float
    after: str
    recipient: int | None
    path: str
    attempt: int
    stage: str
    reply: str
    duplicate: bool
    in_doubt_before: bool
    facts: tuple[tuple[str, str], ...]
    dialogue: tuple[Said, ...]


def steps(message: MessageFacts) -> list[Step]:
    """All that happened to a message, in order; of events of older versions what they tell."""
    paths = {one.n: one.forward_path for one in message.recipients}
    return [_step(event, message.accepted_at, paths) for event in message.events]


def seconds(value: float) -> str:
    """A time as people read it: 0.35 s, 12 s, 2 h 05 min."""
    if value < 120:
        return f"{format_decimal(round(value, 2 if value < 10 else 0))} s"
    minutes = round(value / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02} min"


def _step(event: EventFacts, accepted_at: float, paths: Mapping[int, str]) -> Step:
    facts = event.facts
    tone, title = TITLES.get(f"{event.kind} late" if facts.get("late") else event.kind, ("", ""))
    return Step(
        kind=event.kind,
        tone=tone,
        title=str(gettext(title)) if title else event.kind,
        at=event.at,
        after=seconds(max(0.0, event.at - accepted_at)),
        recipient=event.recipient,
        path=paths.get(event.recipient, "") if event.recipient is not None else str(facts.get("address", "")),
        attempt=int(facts.get("attempt", 0)),
        stage=str(facts.get("stage", "")),
        reply=str(facts.get("reply", "")),
        duplicate=bool(facts.get("possible_duplicate")),
        in_doubt_before=bool(facts.get("in_doubt_before")),
        facts=tuple((str(gettext(name)), text) for name, tell in _TOLD if (text := tell(facts))),
        dialogue=tuple(_said(line) for line in facts.get("dialogue", ())),
    )


def _said(line: list[Any]) -> Said:
    at, who, text = line
    return Said(f"{float(at):.3f}", who == "C", str(text))


def _server(facts: Mapping[str, Any]) -> str:
    if "remote" not in facts:
        return ""
    named, address = str(facts["remote"]), str(facts.get("address", ""))
    return (
        f"{named} [{address}]:{facts.get('port', 25)}" if named != address else f"[{address}]:{facts.get('port', 25)}"
    )


def _encryption(facts: Mapping[str, Any]) -> str:
    if "tls" not in facts:
        return ""
    if not facts["tls"]:
        return str(gettext("none: %(why)s", why=facts.get("in_clear", "")))
    return ", ".join(str(part) for part in (facts["tls"], facts.get("cipher")) if part)


def _certificate(facts: Mapping[str, Any]) -> str:
    judged = str(facts.get("certificate") or "")
    return str(gettext("verified")) if judged == "verified" else judged


def _session(facts: Mapping[str, Any]) -> str:
    number = int(facts.get("session", 0))
    return str(gettext("mail %(number)s of one session", number=number)) if number > 1 else ""


def _plain(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda facts: str(facts.get(name) or "")


_TOLD: tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...] = (  # what the facts of an event tell, in this order
    (N_("Class"), lambda facts: in_words(str(facts.get("class") or ""))),
    (N_("Server"), _server),
    (N_("Provider"), _plain("provider")),
    (N_("Kind of complaint"), _plain("feedback_type")),
    (N_("Our address"), _plain("local_address")),
    (N_("Our name"), _plain("ehlo")),
    (N_("Encryption"), _encryption),
    (N_("Certificate"), _certificate),
    (N_("Duration"), lambda facts: seconds(float(facts["seconds"])) if "seconds" in facts else ""),
    (N_("Session"), _session),
    (N_("Waiting time"), lambda facts: seconds(float(facts["after"])) if "after" in facts else ""),
    (N_("Notified"), _plain("to")),
)
