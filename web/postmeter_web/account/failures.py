"""What the classes of refusals mean, in words."""

from __future__ import annotations

from flask_babel import gettext


def N_(text: str) -> str:
    """Mark a text for translation."""
    return text


MEANINGS = {  # by class, as in postmeter.message.bounce
    "hard.recipient": N_("there is no such mailbox"),
    "hard.domain": N_("the domain takes no mail"),
    "full": N_("the mailbox is full"),
    "size": N_("the mail is too large"),
    "policy.auth": N_("the sender's domain is not proved (SPF, DKIM, DMARC)"),
    "policy.refused": N_("the recipient's side does not want it"),
    "block.ip": N_("our address is not trusted"),
    "rate": N_("too many mails at a time"),
    "greylist": N_("come back later (greylisting)"),
    "content": N_("the content is not wanted"),
    "protocol": N_("the servers did not understand each other"),
    "net": N_("no connection, or it broke"),
    "tls": N_("no agreement on encryption"),
    "dns": N_("no answer from the DNS"),
    "routing": N_("no way to the mailbox"),
    "server": N_("trouble of the recipient's server"),
    "local": N_("not sent by this relay"),
    "expired": N_("its time is over"),
    "unclassified.temporary": N_("not known, perhaps for a while"),
    "unclassified.permanent": N_("not known"),
}


def in_words(failure: str) -> str:
    """The class with its meaning; empty when there is none."""
    if not failure:
        return ""
    meaning = MEANINGS.get(failure)
    return f"{gettext(meaning)} ({failure})" if meaning else failure
