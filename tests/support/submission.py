"""A client's side of the submission session, for the tests of the bare machine."""

from __future__ import annotations

from postmeter.smtp.events import Content, EndOfContent
from postmeter.smtp.limits import Limits
from postmeter.smtp.session import Session
from support.dialogue import Driver

LOGIN = b"EHLO client.example\r\nAUTH PLAIN AHNob3AAc2VjcmV0\r\n"
ENVELOPE = b"MAIL FROM:<orders@shop.example>\r\nRCPT TO:<customer@example.org>\r\n"
BODY = b"From: orders@shop.example\r\nSubject: Your order\r\n\r\n..Thank you.\r\n.\r\n"
STORED = b"From: orders@shop.example\r\nSubject: Your order\r\n\r\n.Thank you.\r\n"


def secure(limits: Limits | None = None) -> Driver:
    """A session inside TLS."""
    return Driver(Session("mail.example.net", limits or Limits(), tls=True))


def logged_in(limits: Limits | None = None) -> Driver:
    """A session that is ready for MAIL; its events begin there."""
    driver = secure(limits)
    assert b"235 2.7.0" in driver.send(LOGIN)
    driver.events.clear()
    return driver


def codes(said: bytes) -> list[int]:
    """The codes of the replies in ``said``."""
    return [int(line[:3]) for line in said.splitlines() if line[3:4] == b" "]


def until_end_of_content(driver: Driver, behind: bytes = b"") -> EndOfContent:
    """Sends a whole message and leaves its end unanswered."""
    driver.send(ENVELOPE + b"DATA\r\n")
    driver.session.receive(BODY + behind)
    assert isinstance(driver.session.poll(), Content)
    end = driver.session.poll()
    assert isinstance(end, EndOfContent)
    return end
