"""The roles that people have in an account, in words."""

from __future__ import annotations

from flask_babel import gettext


def N_(text: str) -> str:
    """Mark a text for translation."""
    return text


NAMES = {
    "owner": N_("Owner"),
    "admin": N_("Admin"),
    "billing": N_("Billing"),
    "viewer": N_("Viewer"),
}
MEANINGS = {
    "owner": N_("Does everything that an admin does, and decides who else is an owner. There is always one."),
    "admin": N_("Connects systems, looks after domains, mail and the team, books blocks, and is told of what happens."),
    "billing": N_("Sees and books blocks and sees invoices; sees no mail."),
    "viewer": N_("Sees the figures, the mail and the settings; changes nothing."),
}


def role_name(role: str) -> str:
    """A role as people call it."""
    return str(gettext(NAMES[role])) if role in NAMES else role


def role_meaning(role: str) -> str:
    """What one may do in a role."""
    return str(gettext(MEANINGS[role]))
