"""What people do besides using the pages: read the panel's mails, follow links, and type codes of an app."""

from __future__ import annotations

import email
import re
from email import policy
from email.message import EmailMessage

import pyotp
from sqlalchemy import select

from postmeter.store import queue
from postmeter.store.own_mail import OPERATOR
from postmeter.store.second_factors import STEP
from postmeter.store.tables import Message
from support.panel import PASSWORD, Browser, House

SET_UP = "/me/second-factor/"


def mails(house: House) -> list[EmailMessage]:
    """What the panel has written, the oldest first; the clock moves on, so that the next is the latest."""
    house.now += 0.01
    with house.store.read() as session:
        found = session.scalars(select(Message.id).where(Message.account_id == OPERATOR).order_by(Message.id)).all()
        wires = [queue.content(session, OPERATOR, one) for one in found]
    return [email.message_from_bytes(wire, policy=policy.default) for wire in wires]  # type: ignore[misc]


def text(mail: EmailMessage) -> str:
    """What a mail says, without the breaks of its lines."""
    return " ".join(str(mail.get_content()).split())


def link(mail: EmailMessage) -> str:
    """The path that the first link of a mail leads to."""
    found = re.search(r"https?://[^/\s]+(/\S+)", str(mail.get_content()))
    assert found, mail
    return found[1]


def code(secret: str, now: float) -> str:
    """What the app shows."""
    return pyotp.TOTP(secret).at(int(now))


def set_up(browser: Browser, house: House) -> tuple[str, list[str]]:
    """Set a second factor up; its secret and the recovery codes. The clock moves on, so that a new code is shown."""
    shown = re.search(r"<code>([A-Z2-7 ]{39})</code>", browser.get(SET_UP).text)
    assert shown
    secret = shown[1].replace(" ", "")
    answer = browser.post(SET_UP, SET_UP, code=code(secret, house.now), password=PASSWORD)
    assert answer.status_code == 200, answer.text
    house.now += STEP
    return secret, re.findall(r"<code>([a-z2-9]{5}-[a-z2-9]{5})</code>", answer.text)
