"""What the relay says in English sentences (why a connection is off, what a form lacks) in the visitor's language."""

from __future__ import annotations

import re
from functools import cache

from flask_babel import gettext

# Every sentence of the core that people read in the panel; what stands in braces is copied. tests/web/test_sentences.py
# finds those that are missing. N_ marks them for the catalogs.
MOST = 2_000  # characters of a sentence that is looked up


def N_(template: str) -> str:
    """Mark a template for translation."""
    return template


TEMPLATES = (
    N_("This account is blocked: {reason}"),
    N_("This connection is paused: {reason}"),
    N_("This connection has no sending domain."),
    N_("The DKIM record of {domains} has not been verified yet."),
    N_("{host} would be asked in clear text; only https is allowed"),
    N_("{host} is not a public address, so nothing is sent there"),
    N_("{url} is not a URL such as https://shop.example/path"),
    # quota
    N_("the account has no paid block {block} that could be renewed"),
    # account
    N_("there is an account {name} already"),
    N_("the name of the account must have 1 to 100 printable characters"),
)


def in_words(text: str) -> str:
    """A sentence of the core in the visitor's language; one that nobody knows stays as it is."""
    for template, pattern in _patterns():
        if found := pattern.fullmatch(text[:MOST]):
            return str(gettext(template)).format(**found.groupdict())
    return text


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    return [(template, _pattern(template)) for template in TEMPLATES]


def _pattern(template: str) -> re.Pattern[str]:
    """What a template can have become: in each place of braces anything, as little as possible."""
    parts = re.split(r"\{(\w+)\}", template)
    fixed = [re.escape(part) if n % 2 == 0 else f"(?P<{part}>.*?)" for n, part in enumerate(parts)]
    return re.compile("".join(fixed), re.DOTALL)
