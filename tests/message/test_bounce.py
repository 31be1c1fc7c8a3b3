"""Why mail was refused: every class of the corpus is recognised, and what follows from it is what is safe."""

from __future__ import annotations

import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.message.bounce import (
    ABOUT_RECIPIENT,
    CLASSES,
    DAY,
    MAX_TEXT,
    REPORT,
    STAGES,
    UNCLASSIFIED,
    Classifier,
    classify,
    words,
)
from postmeter.smtp.mail import Stage
from postmeter.smtp.reply import Reply

CORPUS = Path(__file__).parent / "corpus" / "replies.txt"
README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


@dataclass(frozen=True)
class Sample:
    """A line of the corpus."""

    label: str
    stage: str
    reply: Reply

    @property
    def given(self) -> str:
        """The class that the rules give."""
        return classify(self.stage, self.reply.code, self.reply.status, self.reply.text).name


def corpus() -> Iterator[Sample]:
    for line in CORPUS.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            label, stage, said = line.split(None, 2)
            first, *rest = said.split("|")
            yield Sample(label, stage, Reply.parse([first.encode(), *(f"{first[:3]} {one}".encode() for one in rest)]))


SAMPLES = list(corpus())


def test_every_class_of_the_corpus_is_recognised() -> None:
    right, labels = Counter[str](), Counter(sample.label for sample in SAMPLES)
    for sample in SAMPLES:
        right[sample.label] += sample.given == sample.label
        if sample.given != sample.label:
            print(f"{sample.label} taken for {sample.given}: {sample.stage} {sample.reply}")
    assert len(SAMPLES) >= 850
    assert labels.keys() == CLASSES.keys()
    assert {label: right[label] / n for label, n in labels.items() if right[label] < 0.98 * n} == {}


def test_nothing_else_is_ever_taken_for_the_recipients_fault() -> None:
    at_fault = {name for name, meaning in CLASSES.items() if meaning.suppress_for is not None}
    assert [sample for sample in SAMPLES if sample.given in at_fault and sample.label not in at_fault] == []


def test_only_what_no_rule_is_about_is_unclassified() -> None:
    assert set(get_args(Stage)) | {REPORT} == set(STAGES)
    for sample in SAMPLES:
        found = classify(sample.stage, sample.reply.code, sample.reply.status, sample.reply.text)
        assert (found.rule == "") == (found.name in UNCLASSIFIED.values())


@pytest.mark.parametrize("stage", sorted({*STAGES} - {*ABOUT_RECIPIENT}))
def test_before_a_recipient_was_named_nothing_is_its_fault(stage: str) -> None:
    for sample in SAMPLES:
        found = classify(stage, sample.reply.code, sample.reply.status, sample.reply.text)
        assert not found.about_recipient
        assert found.suppress_for is None


@pytest.mark.parametrize("stage", ["connect", "banner", "ehlo", "starttls"])
def test_what_is_said_before_mail_never_ends_a_recipient(stage: str) -> None:
    assert not any(classify(stage, s.reply.code, s.reply.status, s.reply.text).permanent for s in SAMPLES)


def test_at_mail_only_what_is_about_the_message_ends_it() -> None:
    found = [classify("mail", s.reply.code, s.reply.status, s.reply.text) for s in SAMPLES]
    assert {one.name for one in found if one.permanent} == {"size", "content"}


def test_a_temporary_reply_never_ends_a_recipient() -> None:
    for sample in SAMPLES:
        reply = sample.reply
        found = classify("rcpt", 400 + reply.code % 100, reply.status and f"4{reply.status[1:]}", reply.text)
        assert not found.permanent
        assert not found.name.startswith("hard.")


@pytest.mark.parametrize(
    ("reply", "permanent", "patience", "suppress_for"),
    [
        (Reply(550, "5.1.1", "user unknown"), True, 0.0, 30 * DAY),
        (Reply(556, "5.1.10", ""), True, 0.0, 7 * DAY),
        (Reply(452, "4.2.2", ""), False, DAY, 7 * DAY),
        (Reply(552, "5.2.2", "mailbox full"), False, DAY, 7 * DAY),
        (Reply(552, "5.3.4", ""), True, 0.0, None),
        (Reply(550, "5.7.26", ""), True, 0.0, None),
        (Reply(421, "4.7.26", ""), False, None, None),
        (Reply(554, "5.7.1", "blocked using zen.spamhaus.org"), False, None, None),
        (Reply(550, "5.7.1", "too many connections"), False, None, None),
        (Reply(554, "5.7.1", "spam"), True, 0.0, None),
        (Reply(451, "4.3.0", ""), False, None, None),
        (Reply(550, "", "No"), True, 0.0, None),
        (Reply(450, "", "No"), False, None, None),
    ],
)
def test_how_long_it_is_tried_again_and_not_tried_then(
    reply: Reply, permanent: bool, patience: float | None, suppress_for: float | None
) -> None:
    found = classify("rcpt", reply.code, reply.status, reply.text)
    assert (found.permanent, found.patience, found.suppress_for) == (permanent, patience, suppress_for)


def test_a_report_of_a_failure_is_final_whatever_its_class() -> None:
    for code, status in ((0, "5.7.25"), (554, "")):
        found = classify(REPORT, code, status, "blocked by an RBL")
        assert (found.name, found.permanent) == ("block.ip", True)
    assert not classify(REPORT, 0, "4.4.7", "not yet").permanent


def test_a_full_mailbox_counts_only_when_it_stays_full() -> None:
    full = classify("rcpt", 552, "5.2.2", "")
    assert (full.times, full.within) == (3, 7 * DAY)
    gone = classify("rcpt", 550, "5.1.1", "")
    assert (gone.times, gone.about_recipient) == (1, True)


def test_the_status_is_found_where_old_servers_put_it_but_not_in_an_address() -> None:
    assert classify("rcpt", 550, "", "sorry (#5.1.1)").name == "hard.recipient"
    assert classify("rcpt", 550, "", "#5.2.2 sorry").name == "full"
    assert classify("rcpt", 550, "", "sorry, 5.1.1.7 said no").name == "unclassified.permanent"
    assert classify("rcpt", 450, "", "(#5.1.1)").name == "unclassified.temporary"


def test_words_are_compared_without_accents_punctuation_and_addresses() -> None:
    assert words("Boîte  pleine!\nAnna@x.org <bl@ck>: QUOTA-limit_1") == " boite pleine quota limit 1 "
    assert words("Nieprawidłowy Empfänger") == " nieprawidlowy empfanger "
    assert words("") == "  "


def test_the_manual_tells_what_follows_from_each_class_and_its_example_is_a_rule() -> None:
    text = README.partition("\n## Why mail bounces\n")[2].partition("\n## ")[0]
    named = [name for line in text.splitlines() if line.startswith("| `") for name in line.split("|")[1].split(",")]
    assert {name.strip(" `") for name in named} == set(CLASSES)
    own = Classifier(tomllib.loads(text.partition("```\n")[2].partition("```")[0]))
    found = own.classify("rcpt", 550, "5.7.1", "Company closed for holidays")
    assert (found.name, found.rule) == ("server", "closed-for-the-holidays")


# Rules of one's own


def test_own_rules_come_first() -> None:
    own = Classifier({"mine": {"class": "rate", "stage": ["rcpt"], "code": ["55"], "text": ["no … today"]}})
    found = own.classify("rcpt", 550, "5.1.1", "No such user today")
    assert (found.name, found.rule) == ("rate", "mine")
    assert own.classify("content", 550, "5.1.1", "No such user today").name == "hard.recipient"
    assert own.classify("rcpt", 550, "5.1.1", "today no").name == "hard.recipient"
    assert own.classify("rcpt", 540, "5.1.1", "no, not today").name == "hard.recipient"


@pytest.mark.parametrize(
    ("said", "holds"),
    [
        ("client unknown", True),
        ("unknown: the client", True),
        ("client <anna@kunde.example> unknown", True),
        ("client mail.shop.example unknown", True),
        ("unknown (client)", True),
        ("client (as it calls itself) unknown", True),
        ("all of this\nclient\nis unknown", True),
        ("host 192.0.2.7 unknown", True),
        ("user unknown", False),
        ("the client is well", False),
        ("user unknown, client told", False),
        ("user unknown; client told", False),
        ("User unknown. Client told", False),
        ("User unknown!\nClient told", False),
        ("User unknown\nClient told", False),
        ("user unknown - client told", False),
        ("user unknown (the client is told)", False),
        ("user unknown (the client is told", False),
        ("host 192.0.2 unknown", False),
        ("host 192.0.2.7.1 unknown", False),
    ],
)
def test_a_text_may_have_to_be_about_something_in_its_clause(said: str, holds: bool) -> None:
    own = Classifier({"mine": {"class": "net", "text": ["unknown"], "about": ["client", "server", "ip"]}})
    assert (own.classify("rcpt", 550, "", said).rule == "mine") == holds


@pytest.mark.parametrize("status", ["5.2.1", "5.2.99", "4.2.0"])
def test_a_status_may_have_any_number_in_it(status: str) -> None:
    own = Classifier({"mine": {"class": "rate", "status": ["*.2.*"]}})
    assert own.classify("rcpt", int(status[0]) * 100 + 50, status, "").name == "rate"
    assert own.classify("rcpt", 550, "5.3.2", "").name != "rate"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("x", r"mine must be a table: \[mine\]"),
        ({}, r"\[mine\] class must be one of hard.recipient, "),
        ({"class": "net", "stages": []}, r"\[mine\] has an unknown key 'stages'"),
        ({"class": "net", "stage": ["sent"]}, r"\[mine\] stage cannot be 'sent'"),
        ({"class": "full", "stage": ["mail"]}, r"\[mine\] stage cannot be 'mail'"),
        ({"class": "net", "code": ["250"]}, r"\[mine\] code cannot be '250'"),
        ({"class": "net", "code": ["5501"]}, r"\[mine\] code cannot be '5501'"),
        ({"class": "net", "status": ["5.1"]}, r"\[mine\] status cannot be '5.1'"),
        ({"class": "net", "text": "slow"}, r"\[mine\] text must be a list of texts"),
        ({"class": "net", "text": [" "]}, r"\[mine\] text must be a list of texts"),
        ({"class": "net", "text": ["slow … "]}, r"\[mine\] text cannot be 'slow … '"),
        ({"class": "net", "text": ["joe@example.org"]}, r"\[mine\] text cannot be 'joe@example.org'"),
        ({"class": "net", "about": ["…"]}, r"\[mine\] about cannot be '…'"),
    ],
)
def test_a_rule_that_is_none_is_named(table: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Classifier({"mine": table})


def test_nothing_is_suppressed_longer_than_is_wanted() -> None:
    assert Classifier(longest=DAY).classify("rcpt", 550, "5.1.1", "").suppress_for == DAY
    assert Classifier(longest=10 * DAY).classify("rcpt", 556, "5.1.10", "").suppress_for == 7 * DAY
    never = Classifier(longest=0.0).classify("rcpt", 550, "5.1.1", "")
    assert (never.suppress_for, never.permanent, never.about_recipient) == (None, True, True)


# Whatever is said


@given(
    st.sampled_from(STAGES), st.integers(400, 599), st.sampled_from(["", "5.1.1", "4.2.2", "5.999.999", "x"]), st.text()
)
def test_any_reply_has_a_class(stage: str, code: int, status: str, text: str) -> None:
    found = classify(stage, code, status, text)
    assert found.name in CLASSES
    assert not (code < 500 and found.permanent)


HOSTILE: dict[str, Callable[[int], str]] = {
    "one word": lambda n: "mailbox " * (n // 8),
    "no blank": lambda n: "mailbox" * (n // 7),
    "addresses": lambda n: "a@b " * (n // 4),
    "one long address": lambda n: "a" * n + "@",
    "letters apart": lambda n: "a " * (n // 2),
    "no letters": lambda n: "-." * (n // 2),
    "numbers": lambda n: " 5.1.1.1" * (n // 8),
    "accents": lambda n: "\u0301" * n,
    "letters of many parts": lambda n: "\u1f82" * n,
    "clauses": lambda n: "sender. unknown. " * (n // 17),
    "brackets": lambda n: "(a sender) unknown " * (n // 19),
    "brackets that stay open": lambda n: "(a " * (n // 3),
    "what the rules have": lambda n: " ".join(sample.reply.text for sample in SAMPLES).replace("@", "")[:n],
}


def seconds(text: str) -> float:
    def once() -> float:
        began = time.process_time()
        for _ in range(20):
            classify("content", 550, "", text)
        return (time.process_time() - began) / 20

    return min(once() for _ in range(5))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_time_grows_with_the_text_and_ends_with_what_is_looked_at(text: Callable[[int], str]) -> None:
    half, whole, beyond = (seconds(text(n)) for n in (MAX_TEXT // 2, MAX_TEXT, 50 * MAX_TEXT))
    assert whole < 2.5 * half + 1e-4
    assert whole < 3e-3
    assert beyond < 2 * whole + 1e-4
