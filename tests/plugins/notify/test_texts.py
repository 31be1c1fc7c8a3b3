"""The texts: complete in both languages, with numbers and dates as people write them, whatever a name contains."""

from __future__ import annotations

import email
import re
from datetime import UTC, datetime
from email import policy
from typing import Any

import pytest

from postmeter.message.signature import RSA, SigningKey
from postmeter.store.domains import judge
from postmeter_notify import english, german, mail
from postmeter_notify.case import Case, Letter, one_line, paragraphs
from postmeter_notify.settings import KINDS, LANGUAGES
from support.tenants import rsa_key

AT = datetime(2026, 11, 23, 14, 5, tzinfo=UTC).timestamp()
DAY = 86_400.0
HOSTILE = [
    "Müller & Söhne <GmbH>",
    "{hostname} %s %(x)s {0}",
    "a\u2028Bcc: evil@example.net",
    "x\x85Subject: won",
    "\u202egnp.exe\u202c",
    "=?utf-8?q?hello?=",
    "=?utf-8?q?x=0D=0ABcc=3A_evil=40example.net?=",
    "📯" * 100,
    "a" * 100,
    "-- ",
]
FACTS: dict[str, dict[str, Any]] = {
    "quota_low": {"left": 4980, "threshold": 5000},
    "quota_exhausted": {"left": 0, "threshold": 5000},
    "quota_overdraft": {"overdraft": 1234},
    "quota_expiring": {"block": 3, "left": 4980, "size": 25_000, "kind": "paid", "expires_at": AT + 3 * DAY},
    "quota_renewed": {"block": 4, "size": 25_000, "kind": "paid", "expires_at": AT + 30 * DAY, "lost": 1200},
    "quota_expired": {"block": 3, "size": 25_000, "lost": 1},
    "domain_broken": {"domain": "shop.example", "problems": ["x._domainkey.shop.example: There is no TXT record."]},
    "domain_refused": {"domain": "shop.example", "provider": "Google", "reply": "550 5.7.26 no DKIM"},
    "connection_paused": {"connection": "web shop", "reason": "unpaid"},
    "test": {},
}
EVERY = pytest.mark.parametrize("language", LANGUAGES)


def text_of(kind: str, language: str, account: str = "acme", **about: Any) -> str:
    """Subject and text of the mail, filled lines joined again."""
    facts = about.pop("facts", FACTS[kind])
    case = Case(one_line(account), AT, facts, **about)
    made = mail.compose(
        mail.letter(kind, language, case), language, case.account, hostname="mail.test", sender="", panel=""
    )
    return " ".join(f"{made['Subject']}\n{made.get_content()}".split())


@EVERY
def test_there_is_a_text_for_every_kind(language: str) -> None:
    assert set(mail.LANGUAGES[language].texts) == {*KINDS, "test"} - {"notice"}
    for kind in FACTS:
        case = Case("acme", AT, FACTS[kind])
        letter = mail.letter(kind, language, case)
        assert letter.title
        assert letter.happened
        assert letter.meaning
        assert letter.steps


@EVERY
@pytest.mark.parametrize("kind", FACTS)
@pytest.mark.parametrize("goes_on", [True, False])
@pytest.mark.parametrize("left", [0, 1, 2500])
def test_a_text_has_no_gap_also_without_its_facts(language: str, kind: str, goes_on: bool, left: int) -> None:
    least = {name: value for name, value in FACTS[kind].items() if name in ("domain", "connection")}
    for facts in (FACTS[kind], least):
        text = text_of(kind, language, goes_on=goes_on, left=left, facts=facts, runs_out=AT + DAY)
        assert "None" not in text
        assert not re.search(r" [.,;]|\.\.|[{}]|“”|„“", text), text


def test_numbers_and_dates_are_written_as_in_the_language() -> None:
    assert (english.number(25_000), german.number(25_000)) == ("25,000", "25.000")
    assert (english.day(AT), german.day(AT)) == ("23\u00a0Nov\u00a02026", "23.11.2026")
    assert english.moment(AT).replace("\u00a0", " ") == "23 Nov 2026, 14:05 UTC"
    assert german.moment(AT).replace("\u00a0", " ") == "23.11.2026, 14:05 Uhr (UTC)"
    assert [english.mails(n).replace("\u00a0", " ") for n in (0, 1, 2)] == ["0 mails", "1 mail", "2 mails"]


@pytest.mark.parametrize(
    ("kind", "language", "said"),
    [
        ("quota_low", "en", ["Only 4,980 mails are left", "fewer than 5,000"]),
        ("quota_low", "de", ["Nur noch 4.980 Mails übrig", "weniger als 5.000"]),
        ("quota_overdraft", "en", ["1,234 mails"]),
        ("quota_overdraft", "de", ["1.234 Mails"]),
        ("quota_expiring", "en", ["4,980 mails can be used until 26 Nov 2026", "block of 25,000 mails", "14:05 UTC"]),
        ("quota_expiring", "de", ["4.980 Mails nur noch bis zum 26.11.2026", "Block mit 25.000 Mails", "14:05 Uhr"]),
        ("quota_renewed", "en", ["25,000 mails was renewed", "23 Dec 2026, 14:05 UTC", "1,200 mails of the old one"]),
        ("quota_renewed", "de", ["25.000 Mails wurde verlängert", "23.12.2026, 14:05 Uhr", "1.200 Mails des alten"]),
        ("quota_expired", "en", ["ended on 23 Nov 2026, 14:05 UTC", "1 mail of it had not been used and is lost"]),
        ("quota_expired", "de", ["am 23.11.2026, 14:05 Uhr", "1 Mail davon war nicht verbraucht und ist verfallen"]),
        ("domain_broken", "en", ["No mail is taken from shop.example", "There is no TXT record."]),
        ("domain_broken", "de", ["Keine Mails mehr von shop.example", "Es gibt keinen TXT-Eintrag."]),
        ("domain_refused", "en", ["Google does not believe that mail is from shop.example", "550 5.7.26 no"]),
        ("domain_refused", "de", ["Google glaubt nicht, dass Mails von shop.example stammen", "550 5.7.26 no"]),
        ("connection_paused", "en", ["“web shop” is paused", "The reason: unpaid"]),
        ("connection_paused", "de", ["„web shop“ ist angehalten", "Der Grund: unpaid"]),
    ],
)
def test_a_text_tells_the_facts(kind: str, language: str, said: list[str]) -> None:
    text = text_of(kind, language)
    assert [words for words in said if words not in text] == []


@EVERY
@pytest.mark.parametrize("provider", ["", "other"])
def test_a_provider_without_a_name_is_a_mail_server(language: str, provider: str) -> None:
    text = text_of("domain_refused", language, facts={**FACTS["domain_refused"], "provider": provider})
    assert {"en": "A recipient's mail server does not", "de": "Ein Mailserver von Empfängern glaubt"}[language] in text


@pytest.mark.parametrize(
    ("goes_on", "left", "said"),
    [
        (True, 0, "Your shop's mail goes on. Each mail beyond"),
        (False, 0, "(450 4.7.1)"),
        (False, 7, "in which 7 mails"),
    ],
)
def test_what_an_end_means_depends_on_how_the_account_stands(goes_on: bool, left: int, said: str) -> None:
    assert said in text_of("quota_expired", "en", goes_on=goes_on, left=left)


@EVERY
def test_a_warning_says_when_the_domain_will_be_inactive_and_an_end_which_connections_are(language: str) -> None:
    warning = text_of("domain_broken", language, facts={**FACTS["domain_broken"], "warning": True, "off_at": AT + DAY})
    assert {"en": "by 24 Nov 2026, 14:05 UTC", "de": "am 24.11.2026, 14:05 Uhr"}[language] in warning
    assert {"en": "still goes out", "de": "gehen noch hinaus"}[language] in warning
    end = text_of("domain_broken", language, connections=("web", "forum"))
    assert {"en": "“web”, “forum”", "de": "„web“, „forum“"}[language] in end


def test_all_that_can_be_wrong_with_a_record_is_said_in_german() -> None:
    key = SigningKey.load("shop.example", "s1", RSA, rsa_key().pem)
    other = "v=DKIM1; k=ed25519; p=AAAA"
    records = [[], ["v=spf1"], ["v=DKIM1; p="], ["v=DKIM1; p=AAAA"], [other], [other, other]]
    problems = [judge([], {}), *(judge([key], {key.dns_name: found}) for found in records)]
    for (problem,) in problems:
        translated = german._fault(problem)
        assert translated.partition(": ")[0] == problem.partition(": ")[0] or not problem.startswith("s1.")
        assert not re.search(r"\b(the|there|record)\b", translated, re.IGNORECASE), translated


@EVERY
@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("kind", FACTS)
def test_a_hostile_name_stays_a_name(language: str, kind: str, name: str) -> None:
    facts = {**FACTS[kind], "connection": name, "reason": name, "domain": name, "problems": [name]}
    case = Case(one_line(name), AT, facts, connections=(one_line(name),))
    made = mail.compose(
        mail.letter(kind, language, case), language, case.account, hostname="mail.test", sender="", panel=""
    )
    assert made.keys() == ["Subject", "Content-Type", "Content-Transfer-Encoding", "MIME-Version", "Content-Language"]
    assert one_line(name) in " ".join(made.get_content().split())
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", made.get_content())
    assert made.get_content().count("\n-- \n") == 1
    again = email.message_from_bytes(made.as_bytes(), policy=policy.default)
    assert again.keys() == made.keys()
    assert again["Subject"].strip().startswith(f"{one_line(name).replace('=?', '= ?')}: ")


def test_nothing_is_escaped_in_plain_text() -> None:
    assert "“Müller & Söhne <GmbH>”" in text_of("test", "en", "Müller & Söhne <GmbH>")


@EVERY
@pytest.mark.parametrize("kind", FACTS)
def test_lines_are_short_enough_for_any_mail_program(language: str, kind: str) -> None:
    case = Case("acme", AT, FACTS[kind], goes_on=True)
    made = mail.compose(
        mail.letter(kind, language, case), language, "acme", hostname="mail.test", sender="", panel="https://p.test"
    )
    assert max(map(len, made.get_content().splitlines())) <= mail.WIDTH
    assert "https://p.test" in made.get_content()


def test_the_notice_of_another_plugin_is_in_the_accounts_language_if_it_can_be() -> None:
    texts = {"en": ["Title", "One\nline.\n\nTwo."], "de": ["Titel", "Eins.\r\n\r\nZwei."]}
    assert mail.foreign(texts, "de") == Letter("Titel", "Eins.\n\nZwei.")
    assert mail.foreign(texts, "fr") == Letter("Title", "One line.\n\nTwo.")
    assert mail.foreign({"fr": ["Titre\r\nBcc: x@y.z", "Un."]}, "de") == Letter("Titre Bcc: x@y.z", "Un.")


def test_paragraphs_of_others_lose_only_what_cannot_be_seen() -> None:
    assert paragraphs("a\tb\n\n\n\n c\u202e \n\n\x1b[31mred") == ["a b", "c", "[31mred"]
