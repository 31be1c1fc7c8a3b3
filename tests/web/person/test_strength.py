"""Which passwords are taken, and what is said of them."""

from __future__ import annotations

import pytest
from flask import Flask

from postmeter_web.person import strength

EMAIL = "ann.miller@lindenhof.example"


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("short", "at least 10"),
        ("x" * 1025, "at most 1024"),
        ("password123", "first that is tried"),
        ("Passwort2024!", "first that is tried"),
        ("P4ssw0rd$$2024", "first that is tried"),
        ("hallohallo", "first that is tried"),
        ("1234567890", "first that is tried"),
        ("qwertzuiop", "first that is tried"),
        ("0987-65-4321", "first that is tried"),
        ("aaaaaaabbbbbb", "easily guessed"),
        ("ann.miller2024", "easily guessed"),
        ("lindenhof12", "easily guessed"),
        ("Lindenhof.example", "easily guessed"),
        (EMAIL, "easily guessed"),
    ],
)
def test_what_is_guessed_first_is_refused(app: Flask, typed: str, why: str) -> None:
    with app.test_request_context():
        assert why in strength.problem(typed, EMAIL)


@pytest.mark.parametrize(
    ("typed", "how"),
    [
        ("correct horse", "good"),
        ("tannengrün", "just good enough"),
        ("correct horse battery staple", "strong"),
        ("kX9#mQ2$vL7!", "good"),
        ("kX9#mQ2$vL7!zR4", "strong"),
        ("Пароль не для всех", "strong"),
    ],
)
def test_what_is_taken_is_judged_in_words(app: Flask, typed: str, how: str) -> None:
    with app.test_request_context():
        assert strength.problem(typed, EMAIL) == ""
        assert how in strength.in_words(typed)
