"""The hooks: what plugins are asked before a mail is taken or sent, what they are told after, what they may offer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import click
import pluggy
from sqlalchemy import Connection

from postmeter.config import Settings
from postmeter.core import Core
from postmeter.event import Event
from postmeter.message.envelope import Recipient
from postmeter.plugin_settings import PluginSettings
from postmeter.quota.price import PriceList

hookspec = pluggy.HookspecMarker("postmeter")
hookimpl = pluggy.HookimplMarker("postmeter")

# A header field that a plugin adds: name and value in ASCII, both without line breaks. Not allowed, because the relay
# checks or sets them itself, are From, Sender, Reply-To, To, Cc, Bcc, Date, Message-ID, Subject, MIME-Version,
# Return-Path, Received, DKIM-Signature, List-Help, Resent-*, Content-* and X-Postmeter-* (but for X-Postmeter-Ref).
# All that a plugin adds by one hook may have 16 KiB.
HeaderField = tuple[str, str]

MAX_BODY = 65_536  # octets of a body that the ask hooks see
MAX_ADDED = 16_384  # octets of header fields that a plugin may add to a message by one hook


@dataclass(frozen=True, slots=True)
class Message:
    """A message as the ask hooks see it.

    ``header`` is its header section as it will be sent, empty line included; ``body`` the first 64 KiB of what
    follows, as it came; ``reference`` what the sender calls its subject matter (X-Postmeter-Ref, such as order:1234).
    """

    id: str
    account_id: int
    connection_id: int
    reverse_path: str
    recipients: tuple[Recipient, ...]
    header: bytes
    size: int
    body: bytes = b""
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """A process that a plugin offers and the relay runs.

    ``address`` is listened on for it (host:port); ``run`` is called in the new process with the settings and the
    listening socket's file descriptor, and serves until SIGTERM.
    """

    name: str
    address: str
    run: Callable[[Settings, int], None]


@dataclass(frozen=True, slots=True)
class Job:
    """Something that a plugin does again and again: ``run`` is called ``every`` so many seconds.

    It gets the time in seconds since the epoch. One process of the whole relay does it at a time, between the events
    that the plugin is told; the first time soon after it has started, so it is done more often when the relay is
    started again. An exception is logged, and the job is done again when it is due.
    """

    name: str
    every: float
    run: Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the panel that a plugin offers: a Flask blueprint, and where its entry in the menu leads.

    ``place`` is ``account``: below every account, for who may see it; the views have the parameter ``name``, and
    ``flask.g.account`` with ``id``, ``name``, ``role`` and ``may(right)``. Or it is ``operator``: for operators alone.
    ``endpoint`` names the blueprint's view that the entry ``title`` leads to; several pages may share a blueprint.
    Whatever a view changes it tells the audit log, in the same transaction: ``flask.g.note(session, action, subject)``.

    ``reads`` is the right that a page of an account needs, ``changes`` the one for what is sent to it: ``member``
    (everybody in the account), ``view`` (owner, admin, viewer), ``manage`` (owner, admin), ``bill`` (owner, admin,
    billing) or ``own``. Titles and texts are translated (flask_babel) by ``translations/de/*.po`` in the folder of the
    plugin's package.
    """

    title: str
    place: str
    blueprint: Any
    endpoint: str
    reads: str = "view"
    changes: str = "manage"


@dataclass(frozen=True, slots=True)
class Tariff:
    """What mails cost an account, for the page on which blocks are booked.

    ``prices`` are without VAT, in 0.00001 of ``currency`` (ISO 4217); ``vat`` is added to them, in hundredths of a per
    cent. What is booked now goes on the invoice of the day ``billed``. ``endpoint`` names the view of an account's page
    where invoices and their address are found; ``addressed``: that is known, so that there can be an invoice.
    """

    prices: PriceList
    currency: str
    vat: int
    billed: date
    endpoint: str
    addressed: bool


# Asked. A plugin that fails five times in a row is not asked for a while: nobody waits for it, its ``policy`` decides
# at once, and it is tried with a message now and then, whose sender does not wait for the answer.


@hookspec
def on_accept(message: Message) -> Sequence[HeaderField] | None:
    """Asked in a thread of the plugin's before a message is committed: return fields to add or raise Refused.

    The field X-Postmeter-Ref is not added but kept as the message's reference. Any other exception, a field that is
    not allowed, or no answer in time counts as none: then the plugin's ``policy`` decides.
    """


@hookspec
def on_sign(message: Message) -> Sequence[HeaderField] | None:
    """Asked in a thread of the plugin's before a message is signed: return fields to add or raise Refused.

    A refusal with 5xx bounces the recipients. Any other exception, a field that is not allowed, or no answer in time
    counts as none: then the plugin's ``policy`` decides whether the recipients are deferred.
    """


# Told: in a thread of the plugin's, from the events that were committed with the facts. What raises an exception is
# told again later, and after eight tries it is a dead letter; what comes later about the same message waits behind it.
# A plugin that fails five times in a row is told few events at a time, after pauses that grow to five minutes.


@hookspec
def on_arrive(event: Event) -> None:
    """Told in the plugin's own thread after a message was accepted (kind ``accepted``).

    The answer means nothing; an exception has it told again.
    """


@hookspec
def on_deliver(event: Event) -> None:
    """Told in the plugin's own thread after a recipient's mail server took the mail (kind ``delivered``).

    The answer means nothing; an exception has it told again.
    """


@hookspec
def on_defer(event: Event) -> None:
    """Told in the plugin's own thread after an attempt that will be followed by another (kind ``deferred``).

    The answer means nothing; an exception has it told again.
    """


@hookspec
def on_delay(event: Event) -> None:
    """Told in the plugin's own thread after a recipient has waited for 15 minutes, and for 4 hours (kind ``delayed``).

    The answer means nothing; an exception has it told again.
    """


@hookspec
def on_bounce(event: Event) -> None:
    """Told in the plugin's own thread after a recipient failed for good (kinds ``bounced`` and ``expired``).

    A bounce may come after ``delivered``, when the receiving side reports it later; its facts say ``late`` then.

    The answer means nothing; an exception has it told again.
    """


@hookspec
def on_complaint(event: Event) -> None:
    """Told in the plugin's own thread after a recipient has complained about a mail (kind ``complained``).

    The answer means nothing; an exception has it told again.
    """


@hookspec
def on_suppress(event: Event) -> None:
    """Told in the plugin's own thread after an address was suppressed (kind ``address_suppressed``).

    The answer means nothing; an exception has it told again.
    """


@hookspec
def on_quota_low(event: Event) -> None:
    """Told in the plugin's own thread after an account's quota fell below its threshold, to 0, or beyond all blocks.

    The kinds are ``quota_low``, ``quota_exhausted`` and, the first time, ``quota_overdraft``. The answer means nothing;
    an exception has it told again.
    """


@hookspec
def on_quota_change(event: Event) -> None:
    """Told in the plugin's own thread after a block was booked, renewed or expired, or before one expires for good.

    The kinds are ``quota_booked``, ``quota_renewed``, ``quota_expired`` and, three days before the end of a block that
    is not renewed, ``quota_expiring``. The answer means nothing; an exception has it told again.
    """


@hookspec
def on_connection_change(event: Event) -> None:
    """Told in the plugin's own thread after a connection was paused or resumed, or too much of its mail bounced.

    The kinds are ``connection_paused``, ``connection_resumed`` and ``connection_warned``. The answer means nothing; an
    exception has it told again.
    """


@hookspec
def on_domain_change(event: Event) -> None:
    """Told in the plugin's own thread after the DKIM record of a domain was found or is gone, or a provider refused it.

    The kinds are ``domain_verified``, ``domain_broken`` and, once a day for each provider that does not believe that
    mail is from the domain (SPF, DKIM, DMARC), ``domain_refused``. The answer means nothing; an exception has
    it told again.
    """


@hookspec
def on_notice(event: Event) -> None:
    """Told in the plugin's own thread after any plugin had something to say to an account's admins (kind ``notice``).

    What it says was given to ``Core.notice``. The answer means nothing; an exception has it told again.
    """


@hookspec
def flush() -> None:
    """Called in the plugin's own thread after it was told events and before they count as told.

    What they led to may be gathered until then and written at once. The answer means nothing; an exception has all of
    them told again, then one at a time, so that it is known which of them does it.
    """


# Offered


@hookspec
def on_start(core: Core) -> None:
    """Called once in each process, in a thread of the plugin's, before any other hook that is asked or told.

    ``core`` is what the relay offers the plugin. The answer means nothing; an exception counts as that of the hook that
    was to follow, and the start is tried again before the next one.
    """


@hookspec
def settings_schema() -> type[PluginSettings] | None:
    """Asked in the main thread of each process when it begins, for the class of the plugin's own settings.

    The answer says what the table [plugins.NAME] may have. An exception, or a setting that is wrong, is an error at
    start.
    """


@hookspec
def by_connection() -> bool | None:
    """Asked once at start, in the main thread: whether only messages of connections that it names concern the plugin.

    The answer True means: it names them by Core.follow, and of others it is told nothing; it may still be asked about
    some, if another plugin follows them. Without this hook it is asked about every message, which costs each a change
    of threads. An exception is an error at start.
    """


@hookspec
def migrations() -> Sequence[Callable[[Connection], None]] | None:
    """Asked in the main thread at start for the steps that make and change the plugin's tables, in order.

    Each step of the answer is taken once, in one transaction with the note of it; a step that was published never
    changes. An exception is an error at start. The names of the tables begin with the plugin's name.
    """


@hookspec
def jobs() -> Sequence[Job] | None:
    """Asked once in each process, in the plugin's own thread, for what is to be done again and again.

    The jobs of the answer are done in that thread, too. An exception is logged, and the question asked again a minute
    later.
    """


@hookspec
def commands() -> Sequence[click.Command] | None:
    """Asked in the main thread when the command line is read, for commands to be added to ``postmeter``.

    ``pass_core`` gives the commands of the answer the plugin's Core; a command of the relay's own wins over one of the
    same name, and one that is only asked for its help opens nothing. An exception, or what is no command, leaves the
    plugin without commands; who asks for one of them is told.
    """


@hookspec
def pages() -> Sequence[Page] | None:
    """Asked once in the panel when it starts, in a thread of the plugin's, for pages to be added to it.

    Each page of the answer has an entry in the menu of an account or of the operator. An exception, a page that cannot
    be shown, or no answer within twenty seconds, is logged, and the panel goes without.
    """


@hookspec
def tariff(account_id: int) -> Tariff | None:
    """Asked in a thread of the plugin's before the panel shows what a block costs, for the prices of an account.

    Of several plugins the first answer that is one counts. After an exception, or no answer within two seconds, which
    is logged, the page is shown without prices.
    """


@hookspec
def services(settings: Settings) -> Sequence[Service] | None:
    """Asked once in the main thread of the first process, for the processes that the relay is to run for the plugin.

    The services of the answer are started with the relay and again when they die; the process that is to run one asks
    again for what to run. An exception is an error at start.
    """
