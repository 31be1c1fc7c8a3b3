"""Which passwords are good enough, and how good, in words: length counts more than signs, and no common one passes."""

from __future__ import annotations

import math
import re

from flask_babel import gettext, lazy_gettext

SHORTEST = 10  # characters
LONGEST = 1024
_FEWEST = 5  # different characters
_GOOD, _STRONG = 60, 80  # bits
_CLASSES = ((r"[a-z]", 26), (r"[A-Z]", 26), (r"[0-9]", 10), (r"[^a-zA-Z0-9]", 33))
# What is left of the commonest passwords when digits and signs around them are taken off, and 0, 1, 3, @ and $ are read
# as letters: "passwort2024!" and "P4ssw0rd$$" are such ones.
_WORDS = """
abcdef abcdefg abcdefgh abcdefghij admin administrator baseball basketball changeme computer consumer default dragon
football geheim guest hallo hello helloworld iloveyou ichliebedich internet jesus kennwort killer letmein login lovely
master michael minecraft monkey mustang mypassword naruto password passwort pokemon princess qazwsx qazwsxedc qwer qwert
qwerty qwertyui qwertyuiop qwertz qwertzui qwertzuiop schalke schatz secret sommer starwars startrek summer sunshine
superman test trustno user welcome willkommen winter yxcvbnm zaqxsw zxcvbn zxcvbnm
"""
_COMMON = frozenset(_WORDS.split())
_READ_AS = str.maketrans("013457@$", "oleastas")
_SEQUENCES = ("qwertzuiopasdfghjkl", "qwertyuiopasdfghjkl")


def problem(password: str, email: str) -> str:
    """Why this is no password for the user; empty: it is one."""
    if len(password) < SHORTEST:
        return str(gettext("A password has at least %(number)d characters. Take some words.", number=SHORTEST))
    if len(password) > LONGEST:
        return str(gettext("A password has at most %(number)d characters.", number=LONGEST))
    if _is_common(password):
        return str(
            gettext("This password is one of the first that is tried. Take some words that do not belong together.")
        )
    if len(set(password)) < _FEWEST or _is_of(password, email):
        return str(gettext("This password is easily guessed. Take some words that do not belong together."))
    return ""


def in_words(password: str) -> str:
    """How good an accepted password is."""
    bits = _bits(password)
    return str(_STRENGTHS[(bits >= _GOOD) + (bits >= _STRONG)])


_STRENGTHS = (
    lazy_gettext("The new password is just good enough; a longer one would be better."),
    lazy_gettext("The new password is good."),
    lazy_gettext("The new password is strong."),
)


def _is_common(password: str) -> bool:
    low = password.lower()
    stem = _stem(low)
    known = stem in _COMMON or _stem(stem.translate(_READ_AS)) in _COMMON
    return known or not stem or any(low in sequence for sequence in _SEQUENCES)


def _stem(text: str) -> str:
    """The word in it, once if it is repeated."""
    word = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", text)
    repeated = re.fullmatch(r"(.+?)\1+", word)
    return repeated[1] if repeated else word


def _is_of(password: str, email: str) -> bool:
    """Whether it is the user's address, or what that consists of with little added."""
    low, (name, _, domain) = password.lower(), email.lower().partition("@")
    parts = [name, domain, domain.partition(".")[0]]
    return any(len(part) > 3 and len(low.replace(part, "")) < _FEWEST for part in (email.lower(), *parts))


def _bits(password: str) -> float:
    """What guessing it costs whoever knows which kinds of characters it has; a repeated one counts half."""
    size = sum(number for pattern, number in _CLASSES if re.search(pattern, password))
    different = len(set(password))
    return (different + (len(password) - different) / 2) * math.log2(size)
