"""What a notification says to people: what it is about, and what they can do."""

from __future__ import annotations

SUBJECTS = {  # by action
    "failed": "Your mail could not be delivered",
    "delayed": "Your mail is late",
    "relayed": "Your mail was passed on",
}
HEADINGS = {
    "failed": "It could not be delivered to:",
    "delayed": "It has not been delivered yet, and is tried again by itself, to:",
    "relayed": "It was passed on to the mail server of:",
}
ADVICE = (  # by action and the beginning of the status; the first one counts
    ("failed", "5.4.7", "Its time is over, and it is not tried any more. Send it again if it is still of use."),
    (
        "failed",
        "5.1.",
        "Look for a typing error in the address. If there is no such mailbox, do not write to it again.",
    ),
    ("failed", "5.2.", "The mailbox takes no mail. Ask the recipient in another way."),
    ("failed", "5.3.4", "The mail is too large for the recipient's server. Send less, or a link."),
    ("failed", "5.7.", "The recipient's server does not want this mail; its answer says why."),
    ("failed", "", "It is not tried any more. The answer says why; if it does not help, ask who runs this server."),
    ("delayed", "", "You need not do anything, nor send it again."),
    ("relayed", "", "That server does not tell what becomes of it. You will hear of it only if it comes back."),
)


def advice(action: str, status: str) -> str:
    """What who has sent the mail can do."""
    return next(text for of, begins, text in ADVICE if of == action and status.startswith(begins))
