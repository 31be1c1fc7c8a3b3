"""Builds reception out of the settings and of what a worker has already."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy.orm import Session
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from postmeter.asking import Asking
from postmeter.committing import Submit
from postmeter.config import Settings, Smtp, networks
from postmeter.message.bounce import Classification
from postmeter.message.header import HeaderLimits
from postmeter.message.identifier import IdFactory
from postmeter.server import auth
from postmeter.server.acceptance import Acceptance, HandOver
from postmeter.server.board import Board
from postmeter.server.census import Census
from postmeter.server.disk import DiskWatch
from postmeter.server.doorway import Visitors
from postmeter.server.guard import Guard
from postmeter.server.link import Entrance
from postmeter.server.policy import RecipientPolicy
from postmeter.server.protocol import Reception, SubmissionProtocol
from postmeter.server.refusals import Refusals
from postmeter.server.report_mailboxes import Mailboxes
from postmeter.server.report_office import Office
from postmeter.server.report_office import Parts as OfficeParts
from postmeter.server.reports import ROOM, Reports, ReportsProtocol
from postmeter.server.share import Share
from postmeter.server.tls import ServerTls
from postmeter.server.visit import Visit
from postmeter.smtp.limits import Limits
from postmeter.store import accept as accepting
from postmeter.store import connections, returning, suppressions
from postmeter.store.late import Late
from postmeter.store.notifications import Accepting, Notifier
from postmeter.store.passing_on import PassingOn
from postmeter.store.returning import return_paths
from postmeter.store.secrets import Secrets

REPORTERS = 10  # of so many sessions one may be that of a server with reports

Read = Callable[[Callable[[Session], Any]], Deferred[Any]]


@dataclass(frozen=True)
class Parts:
    """What reception stands on: ``read`` looks something up off the reactor, ``null_mx`` is ``Router.refuses_mail``.

    ``classify`` says what a reply means (stage, code, status, text).
    """

    board: Board
    census: Census
    disk: DiskWatch
    tls: ServerTls
    secrets: Secrets
    read: Read
    submit: Submit
    asking: Asking
    delivery: HandOver
    null_mx: Callable[[str], bool | Deferred[bool]]
    classify: Callable[[str, int, str, str], Classification]
    reactor: Any


def ways_in(settings: Settings, parts: Parts) -> dict[str, Callable[[], Visit]]:
    """What makes the protocol of a new client, by the setting that names where it comes."""
    received, reports = build(settings, parts), build_reports(settings, parts)
    return {
        "submission": partial(SubmissionProtocol, received, implicit_tls=False),
        "submissions": partial(SubmissionProtocol, received, implicit_tls=True),
        "reports": partial(ReportsProtocol, reports),
    }


def build(settings: Settings, parts: Parts) -> Reception:
    """What all sessions of this worker share."""
    smtp = settings.smtp
    directory = auth.Directory(
        lambda username: parts.read(partial(connections.access, username=username, now=time.time())), time.monotonic
    )
    policy = RecipientPolicy(
        suppressed=_suppressed(parts) if smtp.suppressed == "refuse" else None,
        null_mx=parts.null_mx,
        reactor=parts.reactor,
    )
    return Reception(
        hostname=settings.hostname,
        limits=session_limits(smtp),
        portal=auth.portal(directory, parts.secrets.hash_token),
        directory=directory,
        acceptance=_acceptance(settings, parts),
        policy=policy,
        visitors=Visitors(parts.census, Guard(smtp, parts.board), Refusals(time.monotonic)),
        entrance=Entrance(parts.tls, smtp, networks("smtp.proxies", smtp.proxies), parts.reactor),
        spool_folder=settings.data,
        disk_is_low=lambda: parts.disk.low,
    )


def _suppressed(parts: Parts) -> Callable[[int, str], Deferred[Any]]:
    """Looks up what keeps an account's mail from an address."""
    return lambda account, address: parts.read(
        partial(suppressions.find, account_id=account, address=address, now=time.time())
    )


def build_reports(settings: Settings, parts: Parts) -> Reports:
    """What all sessions of this worker on the port for reports share."""
    smtp, paths = settings.smtp, return_paths(settings, parts.secrets)
    own = frozenset(name.lower() for name in (settings.hostname, smtp.return_path) if name)
    office = Office(
        OfficeParts(
            settings.hostname,
            paths,
            Late(parts.classify, Notifier.of(settings)),
            PassingOn(settings.hostname, smtp.postmaster),
            parts.submit,
            deferToThread,
            time.time,
        )
    )
    return Reports(
        hostname=settings.hostname,
        limits=replace(
            session_limits(smtp),
            max_message_size=smtp.max_message_size + ROOM,
            normalise_line_endings=True,
            accept_long_lines=True,
        ),
        mailboxes=Mailboxes(
            paths, own, lambda domain: parts.read(partial(returning.is_in_use, name=domain)), time.time
        ),
        office=office,
        share=Share("reports", max(1, smtp.max_sessions // REPORTERS), parts.board),
        visitors=Visitors(parts.census, Guard(smtp, parts.board), Refusals(time.monotonic)),
        entrance=Entrance(parts.tls, smtp, networks("smtp.proxies", smtp.proxies), parts.reactor),
        spool_folder=settings.data,
        disk_is_low=lambda: parts.disk.low,
    )


def _acceptance(settings: Settings, parts: Parts) -> Acceptance:
    smtp = settings.smtp
    return Acceptance(
        hostname=settings.hostname,
        keep_list_help=smtp.list_help == "keep",
        change=Accepting(
            accepting.Acceptance(settings.overdraft, settings.demo, keep_suppressed=smtp.suppressed == "accept"),
            Notifier.of(settings),
        ),
        submit=parts.submit,
        new_id=IdFactory(time.time, os.urandom),
        clock=time.time,
        asking=parts.asking,
        delivery=parts.delivery,
        header_limits=HeaderLimits(smtp.max_header_size, smtp.max_header_fields, smtp.max_received),
    )


def session_limits(smtp: Smtp) -> Limits:
    """What the settings let one session do."""
    return Limits(
        max_message_size=smtp.max_message_size,
        max_recipients=smtp.max_recipients,
        max_messages=smtp.max_messages_per_session,
        max_errors=smtp.max_errors,
        max_junk_commands=smtp.max_junk_commands,
        max_login_failures=smtp.max_login_failures,
        max_command_line=smtp.max_command_line,
        max_login_line=smtp.max_login_line,
        normalise_line_endings=smtp.bare_line_endings == "normalise",
        accept_long_lines=smtp.long_lines == "accept",
    )
