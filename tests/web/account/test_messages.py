"""The pages of messages: what is found and how it is shown, one message's way, and the file."""

from __future__ import annotations

import html
import re
import time
from functools import partial
from typing import Any

import pytest
from werkzeug.test import TestResponse

from postmeter import csv_file
from postmeter.message.identifier import new_id
from postmeter.store import audit, events
from postmeter.store import search as searching
from postmeter.store.secrets import NewPassword
from postmeter.store.tables import BOUNCED, DEFERRED, DELIVERED, EXPIRED, QUEUED, Message, Recipient, User
from postmeter_web.account import messages
from postmeter_web.account.finding import readings
from support.panel import NOW, OTHER, Browser, House
from support.stored import add_message

LIST = "/accounts/shop/messages/"
HOSTILE = "<script>alert(1)</script>"
DIALOGUE = [[0.0, "C", "(connecting)"], [0.25, "S", f"220 {HOSTILE}"], [0.5, "C", "EHLO mail.example.net"]]


def put(house: House, *states: tuple[str, str], account: str = "shop", ago: float = 60, **columns: Any) -> str:
    """A message that was accepted some seconds ago; its id."""
    at = house.now - ago
    identifier, number = new_id(int(at * 1000), bytes(10)), house.ids[account]
    with house.store.write() as session:
        add_message(session, identifier, number, list(states) or [(DELIVERED, "250 ok")])
        for name, value in {"accepted_at": at, "reference": "", **columns}.items():
            setattr(session.get_one(Message, (identifier, number)), name, value)
        told = [("accepted", None, {"size": 1234})]
        told += [(state, n, {"reply": reply, "attempt": 1}) for n, (state, reply) in enumerate(states) if reply]
        about = [events.about_recipient(number, identifier, n, kind, at + 2, facts) for kind, n, facts in told]
        events.record(session, about)
    return identifier


def tell(house: House, identifier: str, kind: str, **facts: Any) -> None:
    with house.store.write() as session:
        event = events.about_recipient(house.ids["shop"], identifier, 0, kind, house.now, facts)
        events.record(session, [event])


def links(answer: TestResponse) -> list[str]:
    """The messages that a page leads to, in order."""
    return re.findall(rf'href="{LIST}(\w{{26}})"', answer.text)


def words(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_the_list_has_every_recipient_with_its_state_and_a_reason(house: House, owner: Browser) -> None:
    old = put(house, (BOUNCED, "550 5.1.1 No such user"), (DELIVERED, "250 ok"), subject="Your order 7")
    new = put(house, (QUEUED, ""), ago=1)
    answer = owner.get(LIST)
    assert links(answer) == [new, old, old]
    told = words(answer.text)
    assert "Your order 7" in told
    assert "bounced There is no such mailbox." in told
    assert "queued It waits for its first attempt." in told
    assert "250 ok" not in told


@pytest.mark.parametrize(
    "query",
    [
        "find=R0@Example.net",
        "find=@example.net",
        "find=<7@shop.example>",
        "find=7@shop.example",
        "find=order:4711",
        "find=4711",
        "find=%234711",
        "find=parcel",
        "find=your+PARCEL",
        "recipient=r0@example.net",
        "sender=bounce@shop.example&subject=parcel",
        "message_id=<7@shop.example>",
        "reference=order:4711",
        "reason=no+such&state=bounced",
        "since=2026-11-24&until=2026-11-24&subject=parcel",
        "connection=3&domain=shop.example&find=parcel",
    ],
)
def test_what_is_looked_for_is_found(house: House, owner: Browser, query: str) -> None:
    wanted = put(
        house,
        (BOUNCED, "550 no such user"),
        subject="Your parcel is on its way",
        message_id="<7@shop.example>",
        reference="order:4711",
    )
    other = put(house, ago=30, message_id="<8@shop.example>")
    with house.store.write() as session:
        session.get_one(Recipient, (other, house.ids["shop"], 0)).forward_path = "joe@example.org"
    assert links(owner.get(f"{LIST}?{query}")) == [wanted]


def test_the_number_of_a_message_leads_straight_to_it(house: House, owner: Browser) -> None:
    identifier = put(house)
    assert owner.get(f"{LIST}?find=+{identifier.lower()}").headers["Location"] == f"{LIST}{identifier}"
    assert "Nothing matches." in owner.get(f"{LIST}?find=01ARZ3NDEKTSV4RRFFQ69G5FAV").text


def test_days_are_those_of_the_visitor(house: House, owner: Browser) -> None:
    with house.store.write() as session:
        session.query(User).update({"timezone": "Europe/Berlin"})
    late = put(house, ago=NOW - 1_795_390_200)  # 22 November, 23:30 UTC, which is the 23rd in Berlin
    assert links(owner.get(f"{LIST}?since=2026-11-23&until=2026-11-23")) == [late]
    assert links(owner.get(f"{LIST}?until=2026-11-22")) == []


def test_the_pages_of_a_list_follow_each_other(house: House, owner: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "PAGE", 2)
    put_all = [put(house, ago=n, subject=f"Parcel {n}") for n in range(5)]
    seen, path = [], f"{LIST}?find=parcel"
    while path:
        answer = owner.get(path)
        seen += links(answer)
        older = re.findall(r'href="([^"]+)" rel="next"', answer.text)
        path = html.unescape(older[0]) if older else ""
    assert seen == put_all
    assert ">Newest</a>" in answer.text


def test_a_search_that_gave_up_says_so_and_goes_on(
    house: House, owner: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = put(house, ago=100, subject="The needle")
    for n in range(5):
        put(house, ago=n)
    monkeypatch.setattr("postmeter.store.search.FIRST", 2)
    monkeypatch.setattr(messages, "search", partial(searching.search, patience=0.0))
    answer = owner.get(f"{LIST}?find=needle")
    assert "Looked back to" in answer.text
    assert "Nothing matches" not in answer.text
    for _ in range(3):
        if links(answer):
            break
        answer = owner.get(html.unescape(re.findall(r'href="([^"]+)" rel="next"', answer.text)[0]))
    assert links(answer) == [first]


@pytest.mark.parametrize("query", ["before=x", "before=01ARZ3NDEKTSV4RRFFQ69G5FAV.x", "before="])
def test_a_page_that_nothing_has_linked_to_does_not_exist(owner: Browser, query: str) -> None:
    assert owner.get(f"{LIST}?{query}").status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "state=nothing",
        "connection=x",
        "since=yesterday",
        "until=9999-12-31",
        "find=" + "x" * 400,
        "find=" + "a+" * 3_000,
    ],
)
def test_a_search_that_makes_no_sense_is_answered(house: House, owner: Browser, query: str) -> None:
    put(house)
    assert owner.get(f"{LIST}?{query}").status_code == 200


def test_a_text_that_is_too_long_is_no_search_and_no_entry_of_the_log(house: House, owner: Browser) -> None:
    put(house)
    before = time.thread_time()
    fields = {"subject": "a " * 200_000, "provider": "p" * 50_000}
    assert owner.post(f"{LIST}export", f"{LIST}?since=2020-01-01", **fields).status_code == 200
    assert time.thread_time() - before < 5
    with house.store.read() as session:
        assert audit.entries(session)[0].facts == {"wanted": {}}


def test_an_empty_list_says_what_comes_next(owner: Browser) -> None:
    assert "As soon as a connected system hands a mail over" in owner.get(LIST).text
    assert "Nothing matches." in owner.get(f"{LIST}?find=nothing").text


def test_a_message_is_told_from_its_acceptance_to_its_end(house: House, owner: Browser) -> None:
    identifier = put(house, (DEFERRED, "451 4.7.1 Greylisted"), subject="Your order", reference="order:7")
    tell(
        house,
        identifier,
        "delivered",
        reply="250 2.0.0 Ok: queued as 4ABC",
        attempt=2,
        remote="mx.example.net",
        address="192.0.2.25",
        port=25,
        provider="Google",
        seconds=0.51,
        local_address="198.51.100.7",
        ehlo="mail.example.net",
        tls="TLSv1.3",
        cipher="TLS_AES_256_GCM_SHA384",
        certificate="verified",
        session=3,
        dialogue=DIALOGUE,
        possible_duplicate=True,
        in_doubt_before=1,
    )
    told = words(owner.get(f"{LIST}{identifier}").text)
    for text in (
        "deferred The server asks unknown senders to come back later (greylisting). It is tried again by itself.",
        "Not taken yet attempt 1",
        "Answer: 451 4.7.1 Greylisted",
        "Delivered attempt 2",
        "60 s after it was accepted",
        "The server may have taken it all the same",
        "An earlier attempt may have arrived",
        "Server mx.example.net [192.0.2.25]:25 Provider Google Our address 198.51.100.7 Our name mail.example.net",
        "Encryption TLSv1.3, TLS_AES_256_GCM_SHA384 Certificate verified Duration 0.51 s",
        "Session mail 3 of one session",
        "0.000 relay (connecting) 0.250 server 220 <script>alert(1)</script> 0.500 relay EHLO mail.example.net",
        "Reference order:7",
        "Paid by",
        "overdraft (reserved)",
    ):
        assert text in told
    assert told.index("Accepted") < told.index("Not taken yet") < told.index("Delivered attempt 2")


def test_a_reason_knows_the_stage_at_which_the_attempt_ended(house: House, owner: Browser) -> None:
    identifier = put(house, (EXPIRED, "554 5.4.7 Delivery time expired; the last answer was: 451 no"))
    tell(house, identifier, "expired", reply="451 no", stage="connect", tls=None, in_clear="STARTTLS is not offered")
    told = words(owner.get(f"{LIST}{identifier}").text)
    assert "The recipient's mail server cannot be reached." in told
    assert "Encryption none: STARTTLS is not offered" in told


def test_a_page_is_live_as_long_as_somebody_waits(house: House, owner: Browser) -> None:
    waiting, done = put(house, (QUEUED, "")), put(house, ago=1)
    page, fragment = owner.get(f"{LIST}{waiting}").text, owner.get(f"{LIST}{waiting}/live").text
    assert f'data-live="{LIST}{waiting}/live"' in page
    assert fragment.strip() in page
    assert "<html" not in fragment
    assert "data-live=" not in owner.get(f"{LIST}{done}").text


def test_nobody_sees_the_messages_of_others_or_of_the_relay(house: House, owner: Browser) -> None:
    house.ids["relay"] = 0
    foreign, own = put(house, account="forum"), put(house, account="relay", ago=1)
    missing = owner.get(f"{LIST}01ARZ3NDEKTSV4RRFFQ69G5FAV")
    for identifier in (foreign, own, "x", "live"):
        for path in (f"{LIST}{identifier}", f"{LIST}{identifier}/live"):
            answer = owner.get(path)
            assert (answer.status_code, answer.text) == (404, missing.text)
    assert links(owner.get(LIST)) == []
    assert "Nothing matches." in owner.get(f"{LIST}?find={foreign}").text


def test_hostile_text_stays_text(house: House, owner: Browser) -> None:
    identifier = put(house, (BOUNCED, f"550 {HOSTILE}"), subject=HOSTILE, message_id=f"<{HOSTILE}>", reference=HOSTILE)
    with house.store.write() as session:
        session.get_one(Recipient, (identifier, house.ids["shop"], 0)).forward_path = f'"{HOSTILE}"@example.net'
    tell(house, identifier, HOSTILE, reply=HOSTILE, remote=HOSTILE, address=HOSTILE, tls=HOSTILE, dialogue=DIALOGUE)
    for path in (LIST, f"{LIST}?find={HOSTILE}&domain={HOSTILE}", f"{LIST}{identifier}", f"{LIST}{identifier}/live"):
        page = owner.get(path).text
        assert HOSTILE not in page
        assert "&lt;script&gt;" in page


def test_the_file_has_what_was_found_and_no_formula(
    house: House, owner: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "PART", 2)
    ids = [put(house, ago=n, subject=f"=parcel {n}") for n in range(5)]
    put(house, ago=9)
    answer = owner.post(f"{LIST}export", f"{LIST}?find=parcel", find="=parcel")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "messages.csv" in answer.headers["Content-Disposition"]
    assert "'=parcel 0" in answer.text
    heads, *rows = csv_file.read(answer.data)
    assert [row[heads.index("message")] for row in rows] == ids
    assert [row[heads.index("subject")] for row in rows] == [f"=parcel {n}" for n in range(5)]
    with house.store.read() as session:
        [entry] = [one for one in audit.entries(session) if one.action == "messages.export"]
    assert (entry.account, entry.facts) == ("shop", {"wanted": {"subject": "=parcel"}})


def test_who_may_see_messages_may_export_them(house: House, password: NewPassword) -> None:
    put(house)
    for role, status in (("viewer", 200), ("billing", 403)):
        browser = Browser(house.app())
        browser.log_in(house.member("shop", f"{role}@shop.example", role, password))
        assert browser.get(LIST).status_code == status
        assert browser.post(f"{LIST}export", LIST if status == 200 else "/accounts/shop/quota/").status_code == status
    other = Browser(house.app())
    other.log_in(OTHER)
    assert other.post(f"{LIST}export", "/accounts/forum/messages/").status_code == 404


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (" ", [{}]),
        ("01arz3ndektsv4rrffq69g5fav", [{"id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}]),
        ("order confirmed", [{"subject": "order confirmed"}]),
        ("<a@b>", [{"message_id": "<a@b>"}, {"recipient": "a@b"}]),
        ("@b", [{"recipient": "@b"}, {"sender": "@b"}]),
        ("a@b", [{"recipient": "a@b"}, {"message_id": "<a@b>"}, {"sender": "a@b"}]),
        ("order:7", [{"reference": "order:7"}, {"subject": "order:7"}]),
        ("#7", [{"reference": "#7"}, {"reference": "order:7"}, {"subject": "#7"}]),
    ],
)
def test_a_text_is_read_in_the_likeliest_way_first(text: str, fields: list[dict[str, str]]) -> None:
    assert readings(text) == fields
