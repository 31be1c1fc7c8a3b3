"""What the types of events mean, for who chooses among them."""

from __future__ import annotations


def N_(text: str) -> str:
    """Mark a text for translation."""
    return text


MEANINGS = {  # by type, as in ``body.CHOSEN``
    "message.accepted": N_("A message was taken over for delivery."),
    "message.deferred": N_("A recipient's server asked to try again later."),
    "message.delayed": N_("A mail has waited for 15 minutes or 4 hours."),
    "message.delivered": N_("A recipient's server took the mail."),
    "message.bounced": N_("A recipient could not be reached for good."),
    "message.complained": N_("A recipient complained about a mail."),
    "message.suppressed": N_("An address is not tried any more."),
    "quota.low": N_("The quota fell below the threshold."),
    "quota.exhausted": N_("The quota is used up."),
    "quota.overdraft": N_("The first mail beyond all blocks was sent."),
    "quota.booked": N_("A block was booked."),
    "quota.renewed": N_("A block was renewed."),
    "quota.expiring": N_("A block ends soon."),
    "quota.expired": N_("A block has ended."),
    "connection.active": N_("A connection may send again."),
    "connection.inactive": N_("A connection was paused."),
    "connection.warned": N_("Too much mail of a connection bounces or is complained about."),
    "domain.verified": N_("The DKIM record of a domain was found."),
    "domain.broken": N_("The DKIM record of a domain is gone or wrong."),
    "domain.refused": N_("A provider does not believe that mail is from a domain."),
}
