"""How the states of recipients are shown: a colour and a word."""

from __future__ import annotations

from flask_babel import gettext


def N_(word: str) -> str:
    """Mark a word for translation."""
    return word


WORDS = {
    "queued": ("plain", N_("queued")),
    "leased": ("plain", N_("being sent")),
    "deferred": ("warn", N_("deferred")),
    "held": ("warn", N_("held")),
    "delivered": ("good", N_("delivered")),
    "bounced": ("bad", N_("bounced")),
    "expired": ("bad", N_("expired")),
    "suppressed": ("warn", N_("suppressed")),
    "cancelled": ("plain", N_("cancelled")),
}


def state_kind(state: str) -> str:
    """Its colour: good, warn, bad or plain."""
    return WORDS[state][0]


def state_word(state: str) -> str:
    """Its word in the visitor's language."""
    return str(gettext(WORDS[state][1]))
