"""The core's sentences are known again, whatever stands in them."""

from __future__ import annotations

import re
import time

from flask import Flask

from postmeter_web.sentences import MOST, TEMPLATES, in_words

VALUES = ("x", "", "a (b): c, d %; {e} is not", "zwei\nZeilen")


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
