"""The figures of some days up to now, of one account or of all: in sum, now, and bar by bar."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from flask import Response, request
from flask_babel import format_date, format_datetime, format_time, get_locale, get_timezone, gettext
from sqlalchemy.orm import Session

from postmeter.store.counters import BUCKET
from postmeter.store.statistics import DAY, HOUR, Bucket, Totals
from postmeter_web.account import chart
from postmeter_web.account.chart import Drawing
from postmeter_web.context import now, panel
from postmeter_web.show import number

STEPS = {1: BUCKET, 7: HOUR, 30: DAY}  # by the days to look at: seconds of a bar
ROWS = {1: "HH:mm", 7: "EEE d MMM, HH:mm", 30: "EEE d MMM"}  # how the table says when a bar begins
NOTHING = Totals(0, 0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True)
class Span:
    """Today and the days before it, where clocks are those of the visitor.

    ``starts`` has the beginnings of its bars, in seconds since the epoch; ``offset``: seconds that clocks are ahead of
    UTC today.
    """

    days: int
    starts: tuple[int, ...]
    offset: int

    @classmethod
    def of(cls, days: int, now: float, zone: tzinfo) -> Span:
        """The last so many days (one of STEPS)."""
        here = datetime.fromtimestamp(now, zone)
        midnights = [_midnight(here, back, zone) for back in range(days - 1, -2, -1)]
        step = STEPS[days]
        starts = midnights[:-1] if step == DAY else range(midnights[0], midnights[-1], step)
        return cls(days, tuple(starts), int(_ahead(now, zone)))

    @property
    def since(self) -> int:
        """When the first day began."""
        return self.starts[0]

    @property
    def since_day(self) -> str:
        """Its date, as the search for messages takes it."""
        return datetime.fromtimestamp(self.since, get_timezone()).date().isoformat()

    @property
    def step(self) -> int:
        """Seconds of a bar."""
        return STEPS[self.days]


@dataclass(frozen=True)
class Mail:
    """What happened in a span, and what has ever happened: only ``ever`` knows what waits now.

    ``mark`` changes with what the bars show.
    """

    span: Span
    within: Totals
    ever: Totals
    bars: tuple[Bucket, ...]
    mark: str

    @property
    def rows(self) -> list[tuple[str, Totals]]:
        """The bars in which something happened, each with its beginning in words."""
        pattern = ROWS[self.span.days]
        happened = [bar for bar in self.bars if bar.totals != NOTHING]
        return [(str(format_datetime(datetime.fromtimestamp(bar.start, UTC), pattern)), bar.totals) for bar in happened]


def asked_span() -> Span:
    """The days that the page's address asks for (``days``), else today."""
    days = request.args.get("days", 1, type=int)
    return Span.of(days if days in STEPS else 1, now(), get_timezone())


def mail_of(db: Session, account_id: int | None, span: Span) -> Mail:
    """The figures of an account (None: of all)."""
    ever = panel().ever.totals(db, now(), account_id)
    step = min(span.step, HOUR)  # of which days are made, as they are longer and shorter than others at times
    found = panel().lately.buckets(db, account_id, span.since, now(), step, span.offset % HOUR)
    bars = fold(found, span.starts)
    return Mail(span, plus(bar.totals for bar in bars), ever, bars, _mark(bars))


def fold(found: Iterable[Bucket], starts: tuple[int, ...]) -> tuple[Bucket, ...]:
    """A bar for each of these beginnings, with all that happened until the next."""
    parts: list[list[Totals]] = [[] for _ in starts]
    for bucket in found:
        parts[max(0, bisect_right(starts, bucket.start) - 1)].append(bucket.totals)
    return tuple(Bucket(start, plus(part)) for start, part in zip(starts, parts, strict=True))


def plus(totals: Iterable[Totals]) -> Totals:
    """The sum of figures."""
    sums = [sum(values) for values in zip(*(vars(one).values() for one in totals), strict=True)]
    return Totals(*sums) if sums else NOTHING


def picture(mail: Mail) -> Response:
    """The chart of these figures, an image with a policy of its own; ``narrow`` in its address: for small windows."""
    narrow = "narrow" in request.args
    every = 2 if narrow else 1
    totals = [bar.totals for bar in mail.bars]
    drawing = Drawing(
        title=gettext("Delivered, bounced and deferred"),
        labels=[_label(bar.start, mail.span.days, every) for bar in mail.bars],
        values=[
            [one.delivered for one in totals],
            [one.bounced for one in totals],
            [max(0, one.deferred) for one in totals],
        ],
        number=number,
    )
    response = Response(chart.svg(drawing, narrow), mimetype="image/svg+xml")
    response.headers["Content-Security-Policy"] = chart.POLICY
    return response


def _midnight(here: datetime, back: int, zone: tzinfo) -> int:
    """When the day so many days before began."""
    day = here.date() - timedelta(days=back)
    as_utc = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    return int(as_utc - _ahead(as_utc - _ahead(as_utc, zone), zone))


def _ahead(at: float, zone: tzinfo) -> float:
    """By how many seconds clocks are ahead of UTC at that time."""
    return (datetime.fromtimestamp(at, zone).utcoffset() or timedelta()).total_seconds()


def _label(start: int, days: int, every: int) -> str:
    """What stands below a bar: nothing below most of them; ``every``: below each so many-th that could have a label."""
    here, at = datetime.fromtimestamp(start, get_timezone()), datetime.fromtimestamp(start, UTC)
    if days == 1:
        return str(format_time(at, "HH:mm")) if here.minute == 0 and here.hour % (3 * every) == 0 else ""
    if days == 7:
        return str(format_date(at, "EEE d")) if here.hour == 0 and here.day % every == 0 else ""
    locale = get_locale()
    pattern = "d. MMM" if locale and locale.language == "de" else "d MMM"
    return str(format_date(at, pattern)) if here.toordinal() % (3 * every) == 0 else ""


def _mark(bars: tuple[Bucket, ...]) -> str:
    """A few letters that are others when a bar, the language or the time zone is another."""
    shown = (get_locale(), get_timezone(), [(bar.start, *vars(bar.totals).values()) for bar in bars])
    return hashlib.sha256(repr(shown).encode()).hexdigest()[:12]
