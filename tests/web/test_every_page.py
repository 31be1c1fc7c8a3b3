"""What all pages have in common: a strict policy, a title, one heading; in German no English and German numbers."""

from __future__ import annotations

import html
import re

import pytest
from werkzeug.test import TestResponse

from postmeter_web import access
from support import catalogs
from support.hostile import ATTACK
from support.lived_in import MARKS, LivedIn
from support.panel import OPERATOR, OWNER, Browser, House
from support.plugged import plugged
from support.routes import doors, path

SIDES = [(OWNER, (access.ACCOUNT, access.PERSON)), (OPERATOR, (access.OPERATOR, access.PERSON))]
sides = pytest.mark.parametrize(("who", "places"), SIDES, ids=["account", "operator"])
GLOSSARY = re.compile(  # words of the product that German has others for
    r"\b(accounts?|arrived|delivered|bounced?|deferred|queued?|suppress\w*|cancelled|complained|expired|held|leased"
    r"|connections?|recipients?|senders?|messages?|keys?|records?|attempts?|repl(y|ies)|overdraft|renewals?|threshold"
    r"|notices?|invoices?|operator|owner|viewer|settings|addresses|yes|days?|hours?|minutes)\b",
    re.IGNORECASE,
)
ENGLISH_FIGURE = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])|\d\.\d+\s*%|€\s*\d")


def pages(lived_in: LivedIn, who: str, *places: str, **headers: str) -> list[tuple[str, TestResponse]]:
    """All pages that somebody sees, with their addresses: no fragments, no files, nothing that leads elsewhere."""
    browser = Browser(lived_in.app)
    browser.log_in(who)
    found = [door for door in doors(lived_in.app, *places) if door.method == "GET" and not door.is_part]
    answers = [(door.rule.rule, browser.get(path(door, "shop", lived_in.ours), **headers)) for door in found]
    return [(address, answer) for address, answer in answers if answer.status_code == 200]


@sides
def test_a_page_keeps_the_strict_policy_and_has_one_title(lived_in: LivedIn, who: str, places: tuple[str, ...]) -> None:
    seen = pages(lived_in, who, *places)
    assert len(seen) >= 15
    for address, answer in seen:
        headers, page = answer.headers, answer.text
        assert headers["X-Content-Type-Options"] == "nosniff", address
        assert headers["Cache-Control"] == "no-store", address
        assert "default-src 'self'" in headers["Content-Security-Policy"], address
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], address
        assert "unsafe" not in headers["Content-Security-Policy"], address
        assert len(re.findall(r"<h1[\s>]", page)) == 1, address
        assert re.search(r"<title>[^<]*\S[^<]* · Postmeter</title>", page), address


CODES = {"sender", "panel", "open", "message.bounced"}  # keys and values of settings, types of webhooks
NAMES = re.compile(r"Message-ID|Consumer-Key|Certified Senders Alliance|postmeter (key|queue) \w+")


def texts(page: str) -> list[str]:
    """What is read on a page and is the panel's own: no records, commands or words of strangers."""
    own = re.sub(r"(?s)<(script|style|code|pre|samp|textarea|title)\b.*?</\1>|<[^>]*lang=\"en\".*?</\w+>", "\0", page)
    read = [" ".join(html.unescape(text).split()) for text in re.split(r"<[^>]*>|\0", own)]
    foreign = (*MARKS.values(), ATTACK, ".example")
    return [text for text in read if text and not any(mark in text for mark in foreign)]


def untranslated() -> set[str]:
    """All English messages that German says otherwise, and that mean nothing in German."""
    known = {
        english: message.text
        for package in catalogs.PACKAGES
        for english, message in catalogs.catalogs(package)
        if isinstance(english, str) and "%(" not in english
    }
    return {english for english, german in known.items() if english != german} - {str(one) for one in known.values()}


def is_english(text: str) -> bool:
    """Whether a text has a word of the English glossary, or a figure as English writes it."""
    return bool(GLOSSARY.search(text) or ENGLISH_FIGURE.search(text))


@sides
def test_a_german_page_is_german(lived_in: LivedIn, who: str, places: tuple[str, ...]) -> None:
    english = untranslated()
    found: dict[str, set[str]] = {}
    for address, answer in pages(lived_in, who, *places, **{"Accept-Language": "de"}):
        assert '<html lang="de"' in answer.text, address
        own = texts(answer.text)
        wrong = {text for text in own if text in english or is_english(NAMES.sub("", text))} - CODES
        if wrong:
            found[address] = wrong
    assert found == {}, str(found)


def test_german_figures_are_german(lived_in: LivedIn) -> None:
    seen = {
        address: answer.text for address, answer in pages(lived_in, OWNER, access.ACCOUNT, **{"Accept-Language": "de"})
    }
    assert "25.000" in seen["/accounts/<account:name>/quota/"]
    assert "23,75\N{NO-BREAK SPACE}€" in seen["/accounts/<account:name>/billing/"]


def test_every_entry_of_the_menus_leads_to_a_page_that_says_what_is_next(house: House) -> None:
    app = plugged(house)
    for who, start in ((OWNER, "/accounts/shop/"), (OPERATOR, "/")):
        browser = Browser(app)
        browser.log_in(who)
        menu = re.search(r'(?s)<nav[^>]*class="[^"]*menu.*?</nav>', browser.get(start).text)
        assert menu
        links = re.findall(r'href="([^"]+)"', menu[0])
        assert len(links) >= 10
        for link in links:
            answer = browser.get(html.unescape(link))
            assert answer.status_code == 200, link
            assert len("".join(texts(re.sub(r"(?s).*<main", "<main", answer.text)))) > 60, link


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("25,000 Mails", True),
        ("25.000 Mails", False),
        ("0,00095 €", False),
        ("1.0 %", True),
        ("1,0 %", False),
        ("€23.75", True),
        ("Delivered", True),
        ("3 zugestellt, 1 unzustellbar", False),
    ],
)
def test_english_is_found(text: str, wrong: bool) -> None:
    assert is_english(text) == wrong
