"""Whether a mail server has had enough of us for now: then it gets fewer sessions."""

from __future__ import annotations

from dataclasses import dataclass

from postmeter.delivery.outcome import Classify
from postmeter.smtp.mail import Stage
from postmeter.smtp.reply import Reply

TOO_MUCH = ("rate", "block.ip")  # whatever the code: many say it with 450, 451 or 554, and without a status
NOT_TOO_MUCH = ("greylist", "tls")  # they come with 4.7 as well, and are about neither what we send nor how fast


@dataclass(frozen=True, slots=True)
class Said:
    """What a host has said against a mail or a session."""

    reply: Reply
    stage: Stage
    host: str


def complains(said: Said, classify: Classify) -> bool:
    """By the code, or by what is said. Takes some 60 µs: failures only."""
    return said.reply.code == 421 or too_much(said, classify)


def too_much(said: Said, classify: Classify) -> bool:
    """By what is said alone: 421 may only be the end of a session that had no mail for long."""
    reply = said.reply
    name = classify(said.stage, reply.code, reply.status, reply.text).name
    if name in TOO_MUCH:
        return reply.status[1:4] != ".2."  # RFC 3463, 3.3: about the mailbox, which gets too much from whomever
    return reply.status.startswith("4.7.") and name not in NOT_TOO_MUCH
