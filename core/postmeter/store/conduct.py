"""The guard at work: what became of each connection's mail in the last days, and who is warned or paused for it."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import bindparam, func, select, text
from sqlalchemy.orm import Session

from postmeter.guard import Guard
from postmeter.message.conduct import AGAINST, NO_ADDRESS, Figures, Verdict, awaits_more, judge
from postmeter.store import connections, events, pauses
from postmeter.store.conduct_tables import ConnectionWarning
from postmeter.store.counters import BUCKET
from postmeter.store.cursors import duty_of_other, hold_duty
from postmeter.store.rows import delete_some
from postmeter.store.statement import Statement
from postmeter.store.tables import BOUNCED, Connection, Recipient

DUTY = "guard"  # of one worker at a time
HELD = 180.0  # seconds for which it has the duty
DAY = 86_400.0
LATELY = 3_600.0  # seconds: who had no bounce or complaint has got no worse, but may have enough recipients by now
MOST = 100  # connections looked at in one go for either reason: the worst first, and who was not looked at for longest
KEPT = 31 * DAY  # for what was told and for who was looked at: the guard looks back on 30 days at most
FEW = ""  # what is kept about a connection that has too few recipients for what there would be to say

_REMEDIES = {
    "bounces": "take such addresses off the lists, then have it resumed",
    "complaints": "send only what people have asked for, then have it resumed",
}
# Counters have a late bounce in the time of its delivery, so it is the recipients that tell who failed lately.
_SUSPECTS = Statement(
    text(
        "WITH lately AS ("
        "SELECT account_id, connection_id, delivered, complained AS bad FROM counter WHERE bucket >= :lately "
        "UNION ALL SELECT account_id, connection_id, 0, 1 FROM recipient WHERE final_at >= :lately "
        "AND state IN ('bounced', 'expired') AND account_id IN (SELECT id FROM account)) "  # which an index begins with
        "SELECT c.account_id, c.connection_id, k.guarded_since FROM lately AS c "
        "JOIN connection AS k ON k.id = c.connection_id AND k.account_id = c.account_id "
        "WHERE k.paused = '' AND k.retired_at IS NULL "
        "GROUP BY c.account_id, c.connection_id, k.guarded_since HAVING SUM(c.bad) > 0 "
        "ORDER BY SUM(c.bad) * 1.0 / (SUM(c.delivered) + SUM(c.bad) + :few) DESC LIMIT :most"
    )
)
_AWAITED = Statement(  # counters are younger than the last look if their quarter of an hour ended after it
    text(
        "SELECT w.account_id, w.connection_id, k.guarded_since FROM connection_warning AS w "
        "JOIN connection AS k ON k.id = w.connection_id AND k.account_id = w.account_id "
        "WHERE w.about = '' AND k.paused = '' AND k.retired_at IS NULL AND EXISTS ("
        "SELECT 1 FROM counter AS c WHERE c.account_id = w.account_id AND c.connection_id = w.connection_id "
        "AND c.bucket > CAST(w.at AS BIGINT) - :quarter AND c.delivered > 0) "
        "ORDER BY w.at LIMIT :most"
    )
)
_AWAIT = Statement(
    text(
        "INSERT INTO connection_warning (account_id, connection_id, about, at) "
        "VALUES (:account, :connection, '', :now) "
        "ON CONFLICT (account_id, connection_id, about) DO UPDATE SET at = excluded.at"
    )
)
_AWAIT_NO_MORE = Statement(
    text("DELETE FROM connection_warning WHERE account_id = :account AND connection_id = :connection AND about = ''")
)
_COUNTED = Statement(
    text(
        "SELECT provider, SUM(delivered), SUM(bounced), SUM(complained) FROM counter "
        "WHERE account_id = :account AND bucket >= :since AND connection_id = :connection GROUP BY provider"
    )
)
_FAILED = (
    select(Recipient.provider, Recipient.failure, func.count())
    .where(
        Recipient.account_id == bindparam("account"),
        Recipient.connection_id == bindparam("connection"),
        Recipient.final_at >= bindparam("since"),
        text("state IN ('bounced', 'expired')"),  # word for word what its index has
        (Recipient.failure != "") | (Recipient.state == BOUNCED),
    )
    .group_by(Recipient.provider, Recipient.failure)
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What there is to say about a connection that was last ``resumed`` for this time (None: never).

    ``few``: there would be something if more of its recipients were known; ``awaited``: the last look found that too.
    """

    account_id: int
    connection_id: int
    resumed: float | None
    verdicts: tuple[Verdict, ...]
    few: bool = False
    awaited: bool = False


@dataclass(frozen=True, slots=True)
class Round:
    """One look of a worker at all connections."""

    worker: int
    now: float
    days: int
    findings: tuple[Finding, ...]


def look(session: Session, worker: int, limits: Guard, now: float) -> Round | None:
    """What there is to say at present; None when another worker has the duty to look. Only reads."""
    if duty_of_other(session, DUTY, worker, now):
        return None
    rows = _SUSPECTS.fetch(session, {"lately": int(now - LATELY), "few": limits.recipients, "most": MOST})
    rows += _AWAITED.fetch(session, {"quarter": BUCKET, "most": MOST})
    found = [_finding(session, one[0], one[1], one[2], limits, now) for one in dict.fromkeys(rows)]
    return Round(worker, now, limits.days, tuple(one for one in found if one.verdicts or one.few or one.awaited))


def act(session: Session, rounds: Sequence[Round]) -> list[list[str]]:
    """Pause and warn as each round has found; what was paused, in sentences. Nothing when another has the duty."""
    return [_act(session, one) for one in rounds]


def forget(session: Session, now: float) -> int:
    """Delete what was told, and who was looked at, so long ago that it says nothing any more; how many rows."""
    return delete_some(session, ConnectionWarning, ConnectionWarning.at <= now - KEPT)


def reason(verdict: Verdict, days: int) -> str:
    """Why a connection is paused, and what is to be done."""
    return f"{verdict.sentence(days)}; what waits is kept back; {_REMEDIES[verdict.cause]}"


def figures_of(session: Session, account_id: int, connection_id: int, since: float) -> dict[str, Figures]:
    """What became of a connection's recipients since a time, by provider, as the counters know it."""
    row = {"account": account_id, "connection": connection_id, "since": int(since)}
    return {
        provider: Figures(int(delivered), int(bounced), int(bounced), int(bounced), int(complained))
        for provider, delivered, bounced, complained in _COUNTED.fetch(session, row)
    }


def _finding(
    session: Session, account_id: int, connection_id: int, resumed: float | None, limits: Guard, now: float
) -> Finding:
    """The counters know of all bounces: only if these would be too many are those counted that are held against it."""
    since = max(now - limits.days * DAY, resumed or 0.0)
    figures = figures_of(session, account_id, connection_id, since)
    told, awaited = _told(session, account_id, connection_id, now)
    if any(one.cause == "bounces" and one.about not in told for one in judge(figures, limits)):
        failed = session.execute(_FAILED, {"account": account_id, "connection": connection_id, "since": since})
        figures = _looked_into(figures, failed.all())
    verdicts = (one for one in judge(figures, limits) if one.pauses or one.about not in told)
    return Finding(account_id, connection_id, resumed, tuple(verdicts), awaits_more(figures, limits), awaited)


def _looked_into(counted: Mapping[str, Figures], failed: Sequence[Any]) -> dict[str, Figures]:
    against: Tally[str] = Tally()
    unknown: Tally[str] = Tally()
    for provider, failure, number in failed:
        against[provider] += number * (failure in AGAINST)
        unknown[provider] += number * (failure in NO_ADDRESS)
    return {name: replace(one, against=against[name], unknown=unknown[name]) for name, one in counted.items()}


def _told(session: Session, account_id: int, connection_id: int, now: float) -> tuple[set[str], bool]:
    """What was warned of within a day, and whether more recipients are awaited."""
    here = (ConnectionWarning.account_id == account_id, ConnectionWarning.connection_id == connection_id)
    rows = session.execute(select(ConnectionWarning.about, ConnectionWarning.at).where(*here)).all()
    return {about for about, at in rows if at > now - DAY}, any(about == FEW for about, _ in rows)


def _act(session: Session, made: Round) -> list[str]:
    if not hold_duty(session, DUTY, made.worker, made.now, made.now + HELD):
        return []
    _await(session, made)
    to_say = (one for one in made.findings if one.verdicts)
    in_order = sorted(to_say, key=lambda one: one.connection_id)  # as acceptance writes to them: no deadlock
    return [said for one in in_order if (said := _carry_out(session, one, made))]


def _await(session: Session, made: Round) -> None:
    """Remember whose recipients are too few, so that they are judged once they are enough."""
    awaited = [_place(one) | {"now": made.now} for one in made.findings if one.few]
    enough = [_place(one) for one in made.findings if one.awaited and not one.few]
    if awaited:
        _AWAIT.run(session, awaited)
    if enough:
        _AWAIT_NO_MORE.run(session, enough)


def _place(one: Finding) -> dict[str, Any]:
    return {"account": one.account_id, "connection": one.connection_id}


def _carry_out(session: Session, one: Finding, made: Round) -> str:
    """Unless somebody has changed the connection since; what to tell the operator of a pause."""
    connection = connections.connection_by_id(session, one.account_id, one.connection_id, lock=True)
    if connection is None or connection.paused or connection.guarded_since != one.resumed:
        return ""
    paused = ""
    for verdict in one.verdicts:
        sentence = verdict.sentence(made.days)
        facts = {**asdict(verdict), "days": made.days}
        if verdict.pauses:
            pauses.stop_one(session, connection, reason(verdict, made.days), made.now, **facts)
            paused = f"the connection {connection.name!r} of account {one.account_id} is paused: {sentence}"
        else:
            _warn(session, connection, verdict, sentence, facts, made.now)
    return paused


def _warn(
    session: Session, connection: Connection, verdict: Verdict, sentence: str, facts: dict[str, Any], now: float
) -> None:
    warning = ConnectionWarning(
        account_id=connection.account_id, connection_id=connection.id, about=verdict.about, at=now
    )
    session.merge(warning)
    told = {"connection": connection.name, "reason": sentence, **facts}
    events.record(session, [events.about_account(connection.account_id, "connection_warned", now, told)])
