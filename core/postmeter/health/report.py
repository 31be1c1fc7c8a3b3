"""All looks, in groups: side by side in threads, none of which can keep the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from postmeter.config import Settings
from postmeter.errors import PostmeterError
from postmeter.health import doors, ground, names, reports, running
from postmeter.health.finding import Finding, problem
from postmeter.health.spf import Lookup
from postmeter.threads import within

LIMIT = 20.0  # seconds for one look
AT_ONCE = 8

Look = Callable[[Settings], Iterator[Finding]]
LookUp = Callable[[Settings, Lookup], Iterator[Finding]]

GROUPS: dict[str, tuple[Look, ...]] = {
    "machine": (
        ground.data_folder,
        ground.room,
        running.disk_speed,
        ground.database,
        running.database_at_work,
        ground.clock,
        running.clock_synchronised,
    ),
    "relay": (ground.plugins, doors.ports, doors.certificate, reports.listener, running.panel, running.second_factor),
    "world": (doors.hostname, doors.resolver, names.source_addresses, names.way_out),
}
NAMES: tuple[LookUp, ...] = (
    names.reverse_names,
    names.sender_policy,
    names.reachable,
    reports.return_path,
)  # they are about the world


@dataclass(frozen=True)
class Group:
    """What looks of one kind have found."""

    name: str  # machine, relay or world
    findings: tuple[Finding, ...]


def report(settings: Settings, lookup: Lookup) -> list[Group]:
    """All findings; a look that cannot be taken, or takes too long, is a problem of its own."""
    looks: list[tuple[str, Look]] = [(group, look) for group, some in GROUPS.items() for look in some]
    if "*" not in settings.delivery.routes and doors.is_public(settings.hostname):  # else another server's count
        looks += [("world", partial(_asking, look, lookup)) for look in NAMES]
    with ThreadPoolExecutor(AT_ONCE, "health") as threads:
        found = list(threads.map(lambda one: (one[0], _taken(settings, one[1])), looks))
    return [Group(name, tuple(f for group, some in found if group == name for f in some)) for name in GROUPS]


def _asking(look: LookUp, lookup: Lookup, settings: Settings) -> Iterator[Finding]:
    return look(settings, lookup)


def _taken(settings: Settings, look: Look) -> list[Finding]:
    name = getattr(look.args[0] if isinstance(look, partial) else look, "__name__", "look").replace("_", " ")
    found: list[Finding] = []
    try:
        within(LIMIT, f"look at {name}", lambda: found.extend(look(settings)))
    except (PostmeterError, TimeoutError) as error:
        return [*found, problem(name, str(error))]
    return found
