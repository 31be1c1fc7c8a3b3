"""Mails that the panel writes to people: plain text in their language, with a link that leads back here."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

from flask import url_for
from flask_babel import force_locale, gettext
from sqlalchemy.orm import Session

from postmeter.message.handling import URGENT
from postmeter.store import own_mail
from postmeter.store.access_requests import Approved, NewRequest, Request
from postmeter_web.context import now, panel
from postmeter_web.languages import LANGUAGES, language

WIDTH = 72  # characters of a line


def link(endpoint: str, **values: Any) -> str:
    """The address of a page as people reach it: by the settings, never by what a request calls us."""
    web = panel().settings.web
    return (web.url or f"http://{web.listen}").rstrip("/") + url_for(endpoint, **values)


def forgotten(db: Session, to: str, tongue: str, token: str) -> None:
    """How to set a new password."""
    with _in(tongue):
        subject = gettext("A new password")
        asked = gettext("Somebody, probably you, has asked for a new password for the panel. Choose it here:")
        until = gettext("The link can be used once, within an hour. All your sessions end then.")
        ignore = gettext("If it was not you, do nothing: your password stays as it is.")
        _send(db, to, subject, asked, link("password.set_password", token=token), until, ignore)


def changed(db: Session, to: str, tongue: str) -> None:
    """That the password or the second factor is another now."""
    with _in(tongue):
        subject = gettext("Your log-in was changed")
        what = gettext("The password or the second factor of your log-in to the panel was changed just now.")
        ask = gettext("If it was not you, ask for a new password at once, and tell the operator:")
        _send(db, to, subject, what, ask, link("password.forgotten"))


def invited(db: Session, to: str, tongue: str, account: str, by: str, token: str) -> None:
    """How to join an account."""
    with _in(tongue):
        subject = gettext("Invitation to the account %(account)s", account=account)
        who = gettext(
            "%(by)s invites you to the account “%(account)s”, whose transactional mail is sent from here.",
            by=by,
            account=account,
        )
        until = gettext("The link can be used once, within 7 days. If you do not know what this is about, do nothing.")
        _send(db, to, subject, who, link("join.show", token=token), until)


def approved(db: Session, what: Approved) -> None:
    """That the account is there, and how to get in."""
    with _in(what.language):
        subject = gettext("Your account %(account)s is ready", account=what.account)
        ready = gettext("You have asked for the account “%(account)s”. It is ready.", account=what.account)
        if what.token is None:
            how = [gettext("Log in with the password that you have:"), link("login.log_in")]
        else:
            how = [
                gettext("Choose a password first; the link can be used once, within 7 days:"),
                link("password.set_password", token=what.token),
                gettext("If it is too late for that, ask for a new link here:"),
                link("password.forgotten"),
            ]
        _send(db, what.email, subject, ready, *how)


def declined(db: Session, what: Request, reason: str) -> None:
    """That there will be no account, and why."""
    with _in(what.language):
        subject = gettext("Your request for the account %(account)s", account=what.name)
        sorry = gettext("You have asked for the account “%(account)s”. We cannot give it to you.", account=what.name)
        _send(db, what.email, subject, sorry, *filter(None, reason.strip().split("\n\n")))


def requested(db: Session, to: str, tongue: str, what: NewRequest) -> None:
    """To an operator: somebody asks for an account."""
    with _in(tongue):
        subject = gettext("%(email)s asks for an account", email=what.email)
        told = gettext(
            "%(email)s (%(website)s) asks for the account “%(account)s”:",
            email=what.email,
            website=what.website,
            account=what.name,
        )
        decide = gettext("Approve or decline it here:")
        _send(db, to, subject, told, *what.text.splitlines(), decide, link("requests.show"))


@contextmanager
def _in(tongue: str) -> Iterator[None]:
    """In the language that a person has chosen; who has chosen none gets the page's."""
    with force_locale(tongue if tongue in LANGUAGES else language()):
        yield


def _send(db: Session, to: str, subject: str, *paragraphs: str) -> None:
    hostname = panel().settings.hostname
    mail = EmailMessage()
    mail["Subject"] = _one_line(subject).replace("=?", "= ?")  # what is named so is no encoded word (RFC 2047, 2)
    footer = gettext("This mail was sent by the panel of %(hostname)s.", hostname=hostname)
    parts = [gettext("Hello,"), *(_filled(_one_line(part)) for part in paragraphs)]
    mail.set_content("\n\n".join(parts) + f"\n\n-- \n{footer}\n", charset="utf-8", cte="quoted-printable")
    own_mail.send(db, mail, to, hostname, now(), priority=URGENT)  # somebody waits for it


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _filled(text: str) -> str:
    """Lines that are not too long, unless a word is (a link)."""
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
