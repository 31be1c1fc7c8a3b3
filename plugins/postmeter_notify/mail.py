"""Letters as mails: plain text that is pleasant to read in any mail program."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Any

from postmeter_notify.case import Case, Language, Letter, one_line, paragraphs
from postmeter_notify.english import LANGUAGE as ENGLISH
from postmeter_notify.german import LANGUAGE as GERMAN

LANGUAGES = {"en": ENGLISH, "de": GERMAN}
WIDTH = 72  # characters of a line


def letter(kind: str, language: str, case: Case) -> Letter:
    """The text for a kind of event."""
    return LANGUAGES[language].texts[kind](case)


def foreign(texts: Mapping[str, Any], language: str) -> Letter:
    """What another plugin has to say, in the language if it can, else in English or whatever there is."""
    title, text = texts.get(language) or texts.get("en") or next(iter(texts.values()))
    return Letter(one_line(str(title)), "\n\n".join(paragraphs(str(text))))


def compose(letter: Letter, language: str, account: str, *, hostname: str, sender: str, panel: str) -> EmailMessage:
    """The mail with this letter; empty ``sender``: the relay's own address, empty ``panel``: it is not named."""
    words = LANGUAGES[language]
    mail = EmailMessage()
    subject = one_line(f"{account}: {letter.title}", most=300)
    mail["Subject"] = subject.replace("=?", "= ?")  # what somebody has named so is no encoded word (RFC 2047, 2)
    if sender:
        mail["From"] = Address("Postmeter", addr_spec=sender)
    parts = [words.greeting, *map(_filled, letter.happened.split("\n\n")), *_sections(letter, words)]
    parts += [words.panel.format(url=panel)] if panel else []
    footer = words.footer.format(hostname=hostname, account=account)
    mail.set_content("\n\n".join(parts) + f"\n\n-- \n{_filled(footer)}\n", charset="utf-8", cte="quoted-printable")
    mail["Content-Language"] = language
    return mail


def _sections(letter: Letter, words: Language) -> list[str]:
    meaning = [_section(words.meaning, _filled(letter.meaning))] if letter.meaning else []
    return [*meaning, _section(words.steps, _steps(letter.steps))] if letter.steps else meaning


def _section(title: str, text: str) -> str:
    return f"{title}\n{'-' * len(title)}\n{text}"


def _steps(steps: tuple[str, ...]) -> str:
    if len(steps) == 1:
        return _filled(steps[0])
    return "\n".join(_filled(step, f"{n}. ", "   ") for n, step in enumerate(steps, 1))


def _filled(text: str, first: str = "", further: str = "") -> str:
    """Lines of at most ``WIDTH`` characters, unless a word is longer (a URL, the name of a record)."""
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
    )
