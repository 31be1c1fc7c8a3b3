"""Settings cards: complete in both languages, and every value written so that it is read as it is."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.endpoint import Endpoint
from postmeter_web.account import cards
from postmeter_web.account.cards import WAYS, Access
from support.foreign import need_program

ACCESS = Access("mail.example.net", 587, "web-shop-abc", "S3cret", "shop.example")
KEYS = [system.key for system in cards.systems()]
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126))
WANTED = {  # STORES.md 1.3, one each
    *("wp-mail-smtp", "fluentsmtp", "wordpress", "woocommerce", "shopware", "magento", "magento-older", "prestashop"),
    *("oxid", "jtl", "odoo", "typo3", "laravel", "symfony", "django", "nodemailer", "spring", "rails", "msmtp"),
    *("swaks", "curl", "other"),
}


def whole(card: cards.Card) -> str:
    return "\n".join([card.where, card.hint, card.snippet, *(value.text or "" for value in card.values)])


def test_there_is_a_card_for_every_system() -> None:
    assert set(KEYS) == WANTED
    assert KEYS[-1] == cards.OTHER


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("key", KEYS)
def test_a_card_says_where_and_what(key: str, language: str) -> None:
    card = cards.card(key, ACCESS, language)
    text = whole(card)
    assert card.where
    assert card.values or card.snippet
    assert not re.search(r"\{(host|port|username|password|login|address|url|domain|sender)", text)
    if key != "fluentsmtp":
        assert "mail.example.net" in text
        assert "587" in text
    assert "web-shop-abc" in text
    assert "S3cret" in text


@pytest.mark.parametrize("key", KEYS)
def test_cards_differ_by_language_in_words_only(key: str) -> None:
    english, german = (cards.card(key, ACCESS, language) for language in ("en", "de"))
    assert english.snippet == german.snippet
    assert [value.text for value in english.values] == [value.text for value in german.values]


def test_a_system_that_nobody_knows_and_a_language_too() -> None:
    assert cards.card("gone", ACCESS, "fr") == cards.card(cards.OTHER, ACCESS, "en")


def test_no_repr_shows_the_password() -> None:
    card = cards.card("django", ACCESS, "en")
    assert "S3cret" not in repr(ACCESS) + repr(card) + repr(cards.card("other", ACCESS, "en"))


def test_an_address_of_version_6_stands_in_brackets() -> None:
    access = cards.access_at(Endpoint("::1", 2587, None), "u", "p", "shop.example")
    assert cards.card("symfony", access, "en").snippet == 'MAILER_DSN="smtp://u:p@[::1]:2587"'


READ = {
    "js": json.loads,
    "python": ast.literal_eval,
    "shell": lambda text: shlex.split(text)[0],
    "url": unquote,
    "php": lambda text: re.sub(r"\\(['\\])", r"\1", text[1:-1]),
    "ruby": lambda text: re.sub(r"\\(['\\])", r"\1", text[1:-1]),
    "dotenv": lambda text: re.sub(r'\\(["\\$])', r"\1", text[1:-1]),
    "properties": lambda text: re.sub(r"\\(.)", r"\1", text.lstrip(" ")),
    "msmtp": lambda text: text[1:-1],
}


@pytest.mark.parametrize("way", READ)
@given(text=PRINTABLE)
def test_what_is_written_is_read_again(way: str, text: str) -> None:
    assert READ[way](WAYS[way](text)) == text


def test_every_way_of_writing_is_read_by_a_test() -> None:
    assert set(READ) | {""} == set(WAYS)


@pytest.mark.parametrize("way", ["php", "ruby"])
def test_quoted_text_cannot_end_its_quotes(way: str) -> None:
    for text in ("'", "\\", "\\'", "''", "a\\\\'b"):
        assert re.fullmatch(r"'(?:[^'\\]|\\['\\])*'", WAYS[way](text))


def test_a_shell_reads_what_a_dotenv_file_says() -> None:
    text = "a\"b'c\\d$e f#g"
    shell = need_program("sh")
    done = subprocess.run(
        [shell, "-c", f"printf %s {WAYS['dotenv'](text)}"], capture_output=True, text=True, check=True
    )
    assert done.stdout == text
