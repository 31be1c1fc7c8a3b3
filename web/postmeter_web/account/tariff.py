"""What mails cost an account, as a plugin says; a page is shown without prices when none does."""

from __future__ import annotations

import logging
from functools import partial

from postmeter import Tariff
from postmeter.threads import within
from postmeter_web.context import panel

log = logging.getLogger(__name__)

PATIENCE = 2.0  # seconds that a page waits for prices


def tariff_of(account_id: int) -> Tariff | None:
    """The first answer of a plugin; the log tells of those that give none."""
    plugins = panel().plugins
    for one in plugins.implementing("tariff"):
        try:
            call = partial(plugins.call, one, {"account_id": account_id})
            found = within(PATIENCE, f"tariff of {one.plugin_name}", call)
        except Exception as error:
            log.error("the plugin %s tells no prices", one.plugin_name, exc_info=error)
            continue
        if isinstance(found, Tariff):
            return found
    return None
