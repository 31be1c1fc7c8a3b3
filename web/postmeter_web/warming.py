"""Sums up the past of all accounts when the panel starts, so that the operator's first look does not wait for it."""

from __future__ import annotations

import logging
import threading

from postmeter_web.context import Panel

log = logging.getLogger(__name__)


def begin(panel: Panel) -> None:
    """Do it in a thread that nothing waits for, not even the process's end."""
    threading.Thread(target=_sum_up, args=(panel,), name="warming", daemon=True).start()


def _sum_up(panel: Panel) -> None:
    try:
        with panel.store.read() as db:
            panel.ever.totals(db, panel.clock())
    except Exception:
        log.warning("the figures of all accounts could not be summed up; the first look at them does it", exc_info=True)
