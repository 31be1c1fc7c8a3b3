"""What the core says in English is known to the panel in every language, wherever a page can show it."""

from __future__ import annotations

import re
import time

import pytest
from flask import Flask
from flask_babel import force_locale

from postmeter_web.sentences import MOST, TEMPLATES, in_words, template_of
from support.core_sentences import CORE, FILLED, errors, said

VALUES = ("x", "", "a (b): c, d %; {e} is not", "zwei\nZeilen")
MODULES = ("store/*.py", "looking.py", "fetch.py", "csv_file.py", "message/editing.py", "quota/block.py")
REASONS = (  # why something is not as it should be
    ("store/connections.py", "_reason"),
    ("store/domains.py", "judge"),
    ("health/spf.py", "record_in"),
    ("health/spf.py", "_result"),
    ("health/spf.py", "_elsewhere"),
    ("health/spf.py", "_count"),
    ("health/spf.py", "_within"),
)
HEALTH = tuple(
    (f"health/{path.name}", "*")
    for path in sorted((CORE / "health").glob("*.py"))
    if path.stem not in ("spf", "__init__")
)

COMMANDS = "said by commands only: the pages offer a choice, or say 404"
START = "stops the relay or the panel before there is a page"
OWN = "about what the relay itself gives, never about what somebody enters"
WRITTEN_OUT = "the templates have it once for each word that is filled in"
PART = "a part of a longer sentence, which is known as a whole"
COPIED = "a command or a record that is copied as it is"
NEVER = {  # sentences that no page shows in this form, and why
    f"there is no role {FILLED}; there are: {FILLED}": COMMANDS,
    f"there is no user {FILLED}": COMMANDS,
    f"there is no order {FILLED}": COMMANDS,
    f"there is no verb {FILLED}; there are: {FILLED}": COMMANDS,
    f"there is no overdraft policy {FILLED}; there are: {FILLED}": COMMANDS,
    f"there is no request with the number {FILLED}": COMMANDS,
    f"there is no key of the operator's for {FILLED}; make one with `postmeter key add`": COMMANDS,
    f"a cap is between 0 and {FILLED} mails": COMMANDS,
    f"a number of mails is between 0 and {FILLED}": COMMANDS,
    f"an old password stays valid for at most {FILLED} days": COMMANDS,
    f"not a place in a list: {FILLED}": COMMANDS,
    f"nobody has declared {FILLED} warm": COMMANDS,
    f"{FILLED} is no address such as 203.0.113.5 or 2001:db8::5": COMMANDS,
    f"SQLite would not be durable here (journal_mode {FILLED}, synchronous {FILLED})": START,
    f"the database {FILLED} cannot be opened: {FILLED}": START,
    f"the data folder {FILLED} cannot be used: {FILLED}; set server.data to a writable folder": START,
    f"store.url {FILLED} is not the URL of a database": START,
    f"there is a key with the selector {FILLED} for {FILLED} already": OWN,
    "a header field of the mail has a line break in it": OWN,
    "the request has a field that cannot be sent": OWN,
    f"the name of the {FILLED} must have 1 to 100 printable characters": WRITTEN_OUT,
    f"there is no {FILLED} {FILLED}": WRITTEN_OUT,
    f"; {FILLED} files can still be made, {FILLED} %": PART,
    f"look at {FILLED}": PART,
    f"{FILLED} is free": PART,
    f"{FILLED} cannot be opened: {FILLED}": PART,
    f"chmod go= {FILLED}": COPIED,
    f"v=DMARC1; p=none; rua=mailto:dmarc@{FILLED}": COPIED,
    f"ip{FILLED}:{FILLED}": COPIED,
    f"v=spf1 {FILLED} ~all": COPIED,
    "v=spf1(?: |$)": COPIED,
}
FAULTS = ((f"{FILLED}: {text}", where) for text, where in said(("message/signature.py", "fault_in")))  # behind a name
SENTENCES = dict([*errors(*MODULES), *said(*REASONS), *said(*HEALTH), *FAULTS])


@pytest.mark.parametrize("sentence", sorted(SENTENCES.keys() - NEVER.keys()))
def test_a_sentence_of_the_core_is_known(sentence: str) -> None:
    assert template_of(sentence), f"{SENTENCES[sentence]}: add it to web/postmeter_web/sentences.py and translate it"


@pytest.mark.parametrize("sentence", sorted(NEVER))
def test_what_no_page_shows_is_still_said(sentence: str) -> None:
    assert sentence in SENTENCES
    assert template_of(sentence) is None or NEVER[sentence] == PART


def test_enough_is_found() -> None:
    assert len(SENTENCES) > 200


@pytest.mark.parametrize(
    ("sentence", "german"),
    [
        ("the smallest block has 25,000 mails, not 1,000", "der kleinste Block hat 25.000 Mails, nicht 1.000"),
        (
            "Receivers cannot use the SPF record: 'x' is no network.",
            "Empfänger können den SPF-Eintrag nicht verwenden: 'x' ist kein Netz.",
        ),
        ("This connection is paused: panel", "Diese Verbindung ist angehalten: panel"),
        ("Nobody knows this sentence.", "Nobody knows this sentence."),
    ],
)
def test_a_sentence_is_said_in_german_with_german_numbers(app: Flask, sentence: str, german: str) -> None:
    with app.test_request_context(), force_locale("de"):
        assert in_words(sentence) == german


def test_a_sentence_is_found_with_anything_in_its_places(app: Flask) -> None:
    with app.test_request_context(headers={"Accept-Language": "de"}):
        told = in_words("the domain a, b is used by: c, d: e; take it out of them first")
        assert "a, b" in told
        assert "c, d: e" in told
        assert "take it out" not in told
    with app.test_request_context():
        for template in TEMPLATES:
            parts = re.split(r"\{\w+\}", template)
            for text in (value.join(parts) for value in VALUES):
                assert in_words(text) == text


def test_no_text_takes_long_to_be_compared(app: Flask) -> None:
    with app.test_request_context():
        in_words("")
        for template in TEMPLATES:
            first, *middle, _ = *re.split(r"\{\w+\}", template), ""
            text = first + "".join(part * (MOST // len(middle) // max(1, len(part))) for part in middle)
            before = time.thread_time()
            in_words(f"{text[: MOST - 5]}no end")
            assert time.thread_time() - before < 0.5, template
