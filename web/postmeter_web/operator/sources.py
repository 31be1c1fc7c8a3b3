"""Our addresses: how much leaves from each, how much of its cap that is while it warms up, and how it is received."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from postmeter.health.sources import Ours
from postmeter.health.sources import sources as ours
from postmeter.source import is_here
from postmeter.store import sources, warm_up
from postmeter.store.sources import Source
from postmeter.store.warm_up import FIRST, WARM, Warmth
from postmeter_web.context import now, panel, reading

blueprint = Blueprint("sources", __name__)

HEIGHT = 100  # units of the drawing


@dataclass(frozen=True)
class Bar:
    """The attempts of one day, and the height they are drawn with."""

    day: int
    attempts: int
    height: float


@dataclass(frozen=True)
class Shown:
    """An address with its pools and the name that EHLO says there (none: it is in no pool).

    ``used`` is what left from it, if anything has; ``missing``: this machine does not have it.
    """

    address: str
    pools: tuple[str, ...]
    name: str
    missing: bool
    used: Source | None

    @property
    def bars(self) -> list[Bar]:
        """One bar for each day; the highest fills the drawing."""
        days = self.used.days if self.used is not None else ()
        scale = HEIGHT / max([1, *(attempts for _, attempts in days)])
        return [Bar(day, attempts, round(attempts * scale, 2)) for day, attempts in days]


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """The addresses of the pools, and all others that mail has left from."""
    configured = {str(one.address): one for one in ours(panel().settings) if one.pools}
    with reading() as db:
        used = {one.address: one for one in sources.sources(db, now())}
        warmth = warm_up.warmth(db, {*configured, *used}, now())
    shown = [_shown(address, configured.get(address), used.get(address)) for address in {**configured, **used}]
    settings = panel().settings.delivery
    return render_template(
        "operator/sources.html",
        sources=shown,
        warmth=warmth,
        warm={one.address for one in shown if _warm(one, warmth)},
        capped=bool(settings.pools) and settings.warm_up,
        first=FIRST,
        days=WARM,
        now=now(),
    )


def _shown(address: str, ours: Ours | None, used: Source | None) -> Shown:
    if ours is None:
        return Shown(address, (), "", False, used)
    return Shown(address, ours.pools, ours.name, not is_here(address), used)


def _warm(one: Shown, warmth: Warmth) -> bool:
    """Whether no provider that it was used for has a cap for it."""
    levels = warmth.at(one.address).values()
    return one.address in warmth.declared or (bool(levels) and all(level.warm for level in levels))
