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


TEMPLATES: tuple[str, ...] = (
    N_("This account is blocked: {reason}"),
    N_("This connection is paused: {reason}"),
    N_("This connection has no sending domain."),
    N_("The DKIM record of {domains} has not been verified yet."),
)


# Those of people: their addresses and names, teams, second factors, requests.
TEMPLATES += (
    N_("{email} is not an e-mail address"),
    N_("the name of the account must have 1 to 100 printable characters"),
    N_("there is a user {email} already"),
    N_("there is an account {name} already"),
    N_("there are too many requests at the moment; please try again in some days"),
    N_("this request has been decided already"),
    N_("this code is wrong or was used before; wait for the app's next one"),
    N_("{email} belongs to the account already"),
    N_("at most {number} invitations can be open; withdraw one first"),
    N_("this invitation is not open any more"),
    N_("only an owner makes somebody an owner, and changes or removes one"),
    N_("this person does not belong to the account any more"),
    N_("an account has at least one owner; make somebody else an owner first"),
)


# Those of the operator: filters of the queue, suspensions.
TEMPLATES += (
    N_("a quotation mark in the filter is not closed"),
    N_("a filter has at most {number} characters"),
    N_("{word} is no condition; there are: {names}"),
    N_("nothing waits in the state {state}; there are: {names}"),
    N_("there is no account {name}"),
    N_("there is no connection {name}"),
    N_("the reason must have 1 to {number} printable characters"),
    N_("the name of a provider has 1 to {number} printable characters"),
    N_("a suspension ends in the future"),
    N_("the provider {name} is not suspended"),
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
