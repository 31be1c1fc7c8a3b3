"""Whether the page that a List-Help field names can be reached: asked from here, as strangers' URLs are."""

from __future__ import annotations

import re

from flask_babel import gettext

from postmeter.fetch import FetchError, fetch
from postmeter.message.editing import list_help_value
from postmeter_web.context import panel
from postmeter_web.sentences import in_words

PATIENCE = 5.0  # seconds
_PAGE = re.compile(r"<(https://[^>]+)>")


def problem(list_help: str) -> str:
    """What is wrong with the page that a person named, in a sentence; empty: it answers, or there is none to ask.

    ValueError with a sentence when it is no List-Help at all.
    """
    for url in _PAGE.findall(list_help_value(list_help.strip())):
        with panel().looks.turn() as mine:
            if mine and (said := _asked(url)):
                return said
    return ""


def _asked(url: str) -> str:
    private = panel().settings.delivery.allow_private
    try:
        status = fetch("GET", url, timeout=PATIENCE, allow_private=private, max_body=0).status
    except FetchError as error:
        return in_words(str(error))
    return (
        gettext("The page %(url)s answers with the error %(status)d.", url=url, status=status) if status >= 400 else ""
    )
