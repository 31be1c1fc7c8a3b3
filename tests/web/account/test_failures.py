"""The classes of refusals in words."""

from __future__ import annotations

from flask import Flask

from postmeter.message.bounce import CLASSES
from postmeter_web.account.failures import MEANINGS, in_words


def test_every_class_has_words(app: Flask) -> None:
    assert MEANINGS.keys() == CLASSES.keys()
    with app.test_request_context():
        assert in_words("full") == "the mailbox is full (full)"
        assert in_words("of a later version") == "of a later version"
        assert in_words("") == ""
    with app.test_request_context(headers={"Accept-Language": "de"}):
        assert in_words("full") == "das Postfach ist voll (full)"
