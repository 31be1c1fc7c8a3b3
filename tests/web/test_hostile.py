"""Texts of strangers stay text on every page of both sides: subjects, replies, names, addresses, agents, notes."""

from __future__ import annotations

import pytest

from postmeter_web import access
from support.hostile import Harm, hostile, told
from support.lived_in import LivedIn
from support.panel import OPERATOR, OWNER, Browser
from support.routes import doors, path

ACCOUNTS = {  # what the pages of an account tell
    *("connection", "why-paused", "suppression", "subject", "message-id", "reference"),
    *("taken", "reply", "delay", "remote", "address", "local_address", "ehlo", "tls", "cipher", "certificate"),
    *("dialogue", "subject-of-change", "help", "shop-says", "note", "order", "answer"),
    *("buyer-name", "buyer-street", "buyer-city", "buyer-reference"),
}
OPERATORS = {  # what those of the operator tell
    *("account", "wish", "text", "why-blocked", "why-suspended", "csa-note", "filter", "delay", "receiver"),
    *("dead-letter", "failure", "trouble", "buyer-name", "subject-of-change", "fact"),
}


@pytest.mark.parametrize(
    ("who", "places", "expected"),
    [(OWNER, (access.ACCOUNT, access.PERSON), ACCOUNTS), (OPERATOR, (access.OPERATOR, access.PERSON), OPERATORS)],
)
def test_a_text_does_nothing_on_any_page(
    lived_in: LivedIn, who: str, places: tuple[str, ...], expected: set[str]
) -> None:
    browser = Browser(lived_in.app)
    browser.log_in(who)
    read: set[str] = set()
    for door in doors(lived_in.app, *places):
        if door.method != "GET":
            continue
        address = path(door, "shop", lived_in.ours)
        answer = browser.get(address)
        assert answer.status_code < 500, address
        if answer.mimetype in ("text/html", "image/svg+xml"):
            assert Harm(answer.text).found == [], address
            read |= told(answer.text)
    assert expected - read == set(), "else nothing is proven about these"


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ("<p>&lt;script&gt;</p><script src='/static/live.js?v=1'></script>", 0),
        (f"<p>{hostile('x')}</p>", 3),
        ('<a href=" JavaScript:alert(1)">x</a>', 1),
        ('<a href="https://x.example/?javascript:">x</a>', 0),
        ('<script src="https://evil.example/x.js"></script>', 1),
        ("<p>1337</p>", 1),
        ('<b style="color:red">x</b>', 1),
    ],
)
def test_harm_is_found(page: str, found: int) -> None:
    assert len(Harm(page).found) == found
