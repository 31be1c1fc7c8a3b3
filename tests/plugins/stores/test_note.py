"""A note: one line that any shop takes, and a mark that finds it again."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from postmeter_stores.note import WORDS, Note, printable

NOTE = Note(
    "01M845D52EFTKSJPV36DHCW3RR", "joe@example.org", "bounced", 1_800_000_000.5, "550 5.1.1 <joe@example.org>: no"
)


def test_a_note_says_what_happened_to_whom_and_when() -> None:
    assert NOTE.text == (
        "Mail to joe@example.org bounced at 2027-01-15 08:00:00 UTC: 550 5.1.1 ‹joe@example.org›: no "
        f"(Postmeter {NOTE.mark})"
    )
    assert "was delivered at" in replace(NOTE, kind="delivered").text
    assert "was given up at" in replace(NOTE, kind="expired").text


def test_a_mark_is_of_one_message_recipient_and_kind() -> None:
    notes = [
        replace(NOTE, message_id=message, recipient=recipient, kind=kind)
        for message, recipient, kind in product(("A" * 26, "B" * 26), ("joe@a.example", "ann@a.example"), WORDS)
    ]
    assert len({note.mark for note in notes}) == len(notes)
    assert NOTE.mark == replace(NOTE, at=0.0, reply="other").mark
    assert re.fullmatch(r"[0-9A-Z]{26}-[0-9a-f]{8}", NOTE.mark)


@given(st.text(), st.text())
def test_whatever_a_mail_server_says_a_note_is_one_line_of_xml_text(recipient: str, reply: str) -> None:
    text = replace(NOTE, recipient=recipient, reply=reply).text
    assert text.isprintable()
    assert not set(text) & {"<", ">"}
    assert text.endswith(f"(Postmeter {replace(NOTE, recipient=recipient).mark})")
    text.encode("utf-8")


def test_the_longest_note_is_short_enough_for_every_shop() -> None:
    assert len(replace(NOTE, recipient="r" * 999, reply="x" * 99_999).text) < 1000  # PrestaShop takes 1600


def test_printable_text_is_short_and_on_one_line() -> None:
    assert printable("a\r\n\0 b\x1b[2J", 20) == "a b [2J"
    assert printable("x" * 50, 20) == "x" * 20
