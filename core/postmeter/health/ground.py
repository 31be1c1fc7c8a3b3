"""Looks at what the relay stands on: folder, disk, database, clock and plugins."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sqlalchemy import make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError

from postmeter.config import Settings
from postmeter.disk_room import is_low
from postmeter.errors import ConfigError
from postmeter.health.finding import Finding, ok, problem, warning
from postmeter.hooks import Plugins
from postmeter.store import schema
from postmeter.store.engine import Store
from postmeter.store.quota import iso
from postmeter.store.tables import Message

LITTLE_ROOM = 5 << 30  # octets
THIS_PROGRAM = 1_763_856_000.0  # 2025-11-23: the present is later than that
CLOCK_TOLERANCE = 60.0  # seconds


def data_folder(settings: Settings) -> Iterator[Finding]:
    """Whether the data folder can be written and only by us."""
    folder, name = settings.data, "data folder"
    if not folder.exists():
        if os.access(_nearest(folder), os.W_OK | os.X_OK):
            yield ok(name, f"{folder} will be made at the first start")
        else:
            yield problem(
                name, f"{folder} cannot be made in {_nearest(folder)}", "set server.data to a writable folder"
            )
        return
    try:
        with tempfile.TemporaryFile(dir=folder):
            yield ok(name, f"{folder} is writable")
    except OSError as error:
        yield problem(name, f"{folder} cannot be written: {error.strerror}", f"give it to this user: chown {folder}")
        return
    for path in (folder, folder / "secret.key"):
        if path.exists() and path.stat().st_mode & 0o077:
            yield warning(name, f"{path} can be read by others", f"chmod go= {path}")


def room(settings: Settings) -> Iterator[Finding]:
    """How much disk is free for the data folder."""
    status = os.statvfs(_nearest(settings.data))
    free, share = status.f_bavail * status.f_frsize, 100 * status.f_bavail / (status.f_blocks or 1)
    text = f"{free / 2**30:,.1f} GiB are free, {share:.0f} %"
    if status.f_files:
        text += f"; {status.f_favail:,} files can still be made, {100 * status.f_favail / status.f_files:.0f} %"
    if is_low(status, settings.server):
        mend = "make room, or lower server.min_free_percent and server.min_free_bytes: mail is answered 452"
        yield problem("disk", text, mend)
    elif free < LITTLE_ROOM:
        yield warning("disk", text, "make room")
    else:
        yield ok("disk", text)


def database(settings: Settings) -> Iterator[Finding]:
    """Whether the database opens and has our tables."""
    if not_made_yet(settings):
        yield ok("database", "will be made at the first start")
        return
    with closing(Store.open(settings.store_url)) as store:
        kind = "SQLite" if store.sqlite else "PostgreSQL"
        if schema.version(store) is None:
            yield ok("database", f"{kind} answers; the tables will be made at the first start")
            return
        schema.check(store)
        yield ok("database", f"{kind} answers, tables of step {schema.version(store)}")


def clock(settings: Settings) -> Iterator[Finding]:
    """Whether the clock can be right."""
    now, mend = time.time(), "set the clock, e.g. by chrony or systemd-timesyncd: retries, quota and DKIM go by it"
    newest = _newest(settings)
    if now < THIS_PROGRAM:
        yield problem("clock", f"it says {iso(now)}, which is long ago", mend)
    elif newest > now + CLOCK_TOLERANCE:
        yield problem("clock", f"it says {iso(now)}, but the newest message is of {iso(newest)}", mend)
    else:
        yield ok("clock", iso(now))


def plugins(settings: Settings) -> Iterator[Finding]:
    """Whether the enabled plugins are installed, can be loaded, have settings that exist, and offer what can be had."""
    loaded = Plugins.load(settings)
    loaded.migrations()
    loaded.services(settings)
    for name, _ in loaded.manager.list_name_plugin():
        loaded.commands(name)
    if loaded.missing:
        mend = "install them, or take them out of plugins.enabled"
        yield warning("plugins", f"enabled but not installed: {', '.join(loaded.missing)}", mend)
    else:
        yield ok("plugins", ", ".join(settings.plugins.enabled) or "none are enabled")


def _nearest(path: Path) -> Path:
    """The path, or the folder above it that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def not_made_yet(settings: Settings) -> bool:
    """Whether the database is a file that the first start will make."""
    try:
        url = make_url(settings.store_url)
    except ArgumentError:
        raise ConfigError(f"store.url {settings.store_url!r} is not the URL of a database") from None
    return url.get_backend_name() == "sqlite" and not Path(url.database or "").exists()


def _newest(settings: Settings) -> float:
    """When the newest message was accepted; 0 when there is none or the database is not to be had."""
    try:
        if not_made_yet(settings):
            return 0.0
        with closing(Store.open(settings.store_url)) as store, store.read() as session:
            return session.scalar(select(Message.accepted_at).order_by(Message.id.desc()).limit(1)) or 0.0
    except (DBAPIError, OSError):
        return 0.0
