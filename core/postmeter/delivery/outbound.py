"""Builds what leads a worker's mail out, by the settings."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from postmeter.config import Settings
from postmeter.delivery.desk import Desk
from postmeter.delivery.dispatch import Ways
from postmeter.delivery.gate import Terms
from postmeter.delivery.ourselves import Ourselves
from postmeter.delivery.outcome import Classify
from postmeter.delivery.pool import Pool
from postmeter.delivery.provider import Providers
from postmeter.delivery.resolver import Resolver
from postmeter.delivery.route import Router
from postmeter.delivery.shaping import Shaper
from postmeter.delivery.slots import Slots
from postmeter.delivery.sourcing import Sourcing
from postmeter.delivery.transport_security import TransportSecurity
from postmeter.source import pools


def shaper(settings: Settings, reactor: Any, providers: Providers, desk: Desk) -> Shaper:
    """Keeps the pace of the ``providers``, and of what the ``desk`` says of them."""
    slots = Slots(settings.data / "sessions")
    return Shaper(providers, Terms(reactor, slots, settings.worker_count, desk.restriction, desk.apply))


def ways(
    settings: Settings,
    reactor: Any,
    resolver: Resolver,
    providers: Providers,
    security: TransportSecurity,
    shaper: Shaper,
    sourcing: Sourcing,
    lease_held: Callable[[], bool],
    classify: Classify,
) -> Ways:
    """Routes by the ``resolver``, and a pool at the pace of the ``shaper``."""
    pool = Pool(
        reactor,
        settings.hostname,
        shaper=shaper,
        broken_tls=security.broken,
        note_tls=security.note,
        may_send=lease_held,  # what waits there may be another's by now
        classify=classify,
    )
    return Ways(_router(settings, resolver), security.securing, pool, providers, sourcing.sources)


def own_names(settings: Settings) -> set[str]:
    """What this relay calls itself in EHLO: a mail server of such a name is the relay itself."""
    return {settings.hostname, *(source.name for pool in pools(settings.delivery.pools).values() for source in pool)}


def _router(settings: Settings, resolver: Resolver) -> Router:
    chosen = settings.delivery
    return Router(
        resolver,
        chosen.routes,
        random.shuffle,
        port=chosen.port,
        allow_private=chosen.allow_private,
        ourselves=Ourselves(own_names(settings), time.monotonic),
    )
