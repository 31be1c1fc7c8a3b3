"""Our addresses: how much leaves from each, whether that is usual for its age, and how it is received."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from postmeter.store import sources
from postmeter.store.sources import Source
from postmeter_web.context import now, reading

blueprint = Blueprint("sources", __name__)

HEIGHT = 100  # units of the drawing


@dataclass(frozen=True)
class Bar:
    """The attempts of one day, and the height they are drawn with."""

    day: int
    attempts: int
    height: float


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """All addresses that mail has left from."""
    with reading() as db:
        found = sources.sources(db, now())
    return render_template("operator/sources.html", sources=[(one, bars(one)) for one in found], now=now())


def bars(source: Source) -> list[Bar]:
    """One bar for each day; the highest fills the drawing."""
    scale = HEIGHT / max(1, *(attempts for _, attempts in source.days))
    return [Bar(day, attempts, round(attempts * scale, 2)) for day, attempts in source.days]
