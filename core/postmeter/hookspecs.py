"""The hooks: what plugins are asked before a mail is taken or sent, what they are told after, what they may offer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pluggy

from postmeter.config import Settings
from postmeter.message.envelope import Recipient

hookspec = pluggy.HookspecMarker("postmeter")
hookimpl = pluggy.HookimplMarker("postmeter")

# A header field that a plugin adds: name and value in ASCII, both without line breaks. Not allowed, because the relay
# checks or sets them itself, are From, Sender, Reply-To, To, Cc, Bcc, Date, Message-ID, Subject, MIME-Version,
# Return-Path, Received, DKIM-Signature, List-Help, Resent-* and Content-*.
HeaderField = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Message:
    """A message as the ask hooks see it; ``header`` is its header section as it will be sent, empty line included."""

    id: str
    account_id: int
    connection_id: int
    reverse_path: str
    recipients: tuple[Recipient, ...]
    header: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Event:
    """A committed fact as the tell hooks get it.

    ``id`` is the idempotency key: the same event may come again. ``recipient`` is the forward path the event is
    about, ``at`` seconds since the epoch, ``facts`` what belongs to the kind (``reply``, ``remote``, ``left`` …).
    """

    id: int
    kind: str
    account_id: int
    message_id: str | None
    recipient: str | None
    at: float
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Service:
    """A process that a plugin offers and the relay runs.

    ``address`` is listened on for it (host:port); ``run`` is called in the new process with the settings and the
    listening socket's file descriptor, and serves until SIGTERM.
    """

    name: str
    address: str
    run: Callable[[Settings, int], None]


@hookspec
def on_accept(message: Message) -> Sequence[HeaderField] | None:
    """Asked in a plugin thread before a message is committed: return fields to add or raise Refused.

    Any other exception, a field that is not allowed, or no answer within 2 s refuses the message for now (451).
    """


@hookspec
def on_sign(message: Message) -> Sequence[HeaderField] | None:
    """Asked in a plugin thread before a message is signed: return fields to add or raise Refused.

    A refusal with 5xx bounces the recipients; any other exception, a field that is not allowed, or no answer within
    2 s defers them.
    """


@hookspec
def on_deliver(event: Event) -> None:
    """Told in a plugin thread after a recipient's mail server took the mail; an exception has it told again."""


@hookspec
def on_bounce(event: Event) -> None:
    """Told in a plugin thread after a recipient failed for good; an exception has it told again."""


@hookspec
def on_quota_low(event: Event) -> None:
    """Told in a plugin thread after an account's quota fell below its threshold or to 0 (``left`` in the facts)."""


@hookspec
def services(settings: Settings) -> Sequence[Service] | None:
    """Asked once at start: the processes that the relay is to run for this plugin."""
