"""The tables of what plugins are told: how far each one is, what waits for another try, and what it cannot take."""

from __future__ import annotations

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from postmeter.store.base import Base


class Cursor(Base):
    """How far a plugin has been told the events (``tx``, ``event_id``).

    ``failures`` counts those in a row; until ``retry_at`` it is told nothing. ``turn`` is raised with each change, so
    that of two who tell it at the same time one finds out. ``error`` is what it said when it failed last.
    """

    __tablename__ = "cursor"
    plugin: Mapped[str] = mapped_column(primary_key=True)
    tx: Mapped[int] = mapped_column(default=0)
    event_id: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    retry_at: Mapped[float] = mapped_column(default=0)
    turn: Mapped[int] = mapped_column(default=0)
    error: Mapped[str] = mapped_column(default="")
    failed_at: Mapped[float | None]


class Parked(Base):
    """An event that was set aside: a plugin failed with it, or it waits behind such a one in the same ``lane``.

    A lane is what has an order: a message, or an account where events have none. ``retry_at`` counts for the first one
    of a lane.
    """

    __tablename__ = "parked"
    plugin: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    tx: Mapped[int]
    lane: Mapped[str]
    failures: Mapped[int]
    retry_at: Mapped[float]
    __table_args__ = (Index("ix_parked_plugin_lane", "plugin", "lane"),)


class DeadLetter(Base):
    """An event that a plugin could not take in all its tries."""

    __tablename__ = "dead_letter"
    plugin: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    error: Mapped[str]
    at: Mapped[float]


class Replay(Base):
    """A wish that a plugin be told events again: those numbered ``first`` to ``last``, from ``since`` to ``until``.

    (``tx``, ``event_id``) is how far that has come, (``end_tx``, ``end_id``) where the plugin stood: what is behind
    that comes anyway.
    """

    __tablename__ = "replay"
    id: Mapped[int] = mapped_column(primary_key=True)
    plugin: Mapped[str]
    first: Mapped[int]
    last: Mapped[int]
    since: Mapped[float]
    until: Mapped[float]
    tx: Mapped[int] = mapped_column(default=0)
    event_id: Mapped[int] = mapped_column(default=0)
    end_tx: Mapped[int]
    end_id: Mapped[int]


class PluginStep(Base):
    """How many of its migration steps a plugin has taken."""

    __tablename__ = "plugin_step"
    plugin: Mapped[str] = mapped_column(primary_key=True)
    taken: Mapped[int]


class PluginSetting(Base):
    """A setting of a plugin that was chosen in the panel: ``value`` in JSON, or ``sealed`` when it is secret."""

    __tablename__ = "plugin_setting"
    plugin: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]
    sealed: Mapped[bytes | None]
    at: Mapped[float]


class PluginTrouble(Base):
    """What a worker has trouble with at present: a hook by which a plugin is not asked, or in which it hangs."""

    __tablename__ = "plugin_trouble"
    plugin: Mapped[str] = mapped_column(primary_key=True)
    hook: Mapped[str] = mapped_column(primary_key=True)
    worker: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    error: Mapped[str]
    since: Mapped[float]
