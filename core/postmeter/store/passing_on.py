"""Mail to abuse@ and postmaster@ goes on to the operator: to one address, or to all who are operators of the panel."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from postmeter.message.handling import BULK
from postmeter.message.identifier import new_id
from postmeter.message.passing_on import PassedOn
from postmeter.store import own_mail
from postmeter.store.accounts import operators
from postmeter.store.own_mail import Written


@dataclass(frozen=True, slots=True)
class PassingOn:
    """The change that puts such mails into the queue; ``to`` empty: the operators' own addresses."""

    hostname: str
    to: str

    def __call__(self, session: Session, mails: Sequence[tuple[PassedOn, float]]) -> list[int]:
        """For each mail and the time it came: how many have been sent it."""
        readers = [self.to] if self.to else [user.email for user in operators(session)]
        readers = [address for address in readers if own_mail.reaches(address)]
        for mail, now in mails:
            for address in readers:
                self._send(session, mail, address, now)
        return [len(readers)] * len(mails)

    def _send(self, session: Session, mail: PassedOn, address: str, now: float) -> None:
        identifier, path = new_id(int(now * 1000), os.urandom(10)), own_mail.forward_path(address)
        content = mail.content(to=path, hostname=self.hostname, identifier=identifier, seconds=int(now))
        written = Written(identifier, content, self.hostname, mail.subject, f"<{identifier}@{self.hostname}>")
        own_mail.put(session, written, path, self.hostname, now, priority=BULK)
