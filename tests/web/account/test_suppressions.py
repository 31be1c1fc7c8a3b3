"""The page of suppressed addresses: seen, searched, added, lifted, taken in and taken away."""

from __future__ import annotations

import html
import io
import re
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from postmeter import csv_file
from postmeter.store import audit, suppression_list
from postmeter.store.secrets import NewPassword
from postmeter.store.suppressions import (
    BOUNCE,
    COMPLAINT,
    EVERY_ACCOUNT,
    MANUAL,
    Suppression,
    suppress,
    suppressions_of,
)
from postmeter.store.tables import User
from postmeter_web.account import suppressions
from support.panel import NOW, Browser, House

LIST = "/accounts/shop/suppressions/"
MESSAGE = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
HOSTILE = "<script>alert(1)</script>"


def put(house: House, address: str, reason: str = MANUAL, account: int | None = None, **more: Any) -> None:
    with house.store.write() as session:
        number = house.ids["shop"] if account is None else account
        suppress(session, number, address, reason, more.pop("now", NOW), **more)


def kept(house: House, account: str = "shop") -> list[Suppression]:
    with house.store.read() as session:
        return suppressions_of(session, house.ids[account], house.now)


def shown(page: str) -> list[str]:
    return re.findall(r"<tr>\s*<td>([^<]*)</td>", page)


def actions(house: House) -> list[tuple[str, str]]:
    return [(one.action, one.subject) for one in house.changes()]


def send(browser: Browser, octets: bytes, name: str = "list.csv") -> TestResponse:
    """Import a file."""
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', browser.get(LIST).text)
    assert token
    data = {"csrf_token": token[1], "file": (io.BytesIO(octets), name)}
    return browser.client.post(f"{LIST}import", data=data, headers=browser.headers)


def test_the_list_says_why_since_when_and_until_when(house: House, owner: Browser) -> None:
    put(house, "gone@example.org", BOUNCE, detail="550 no such user", message_id=MESSAGE, now=NOW - 7200)
    put(house, "angry@example.org", COMPLAINT, expires_at=NOW + 86_400 * 3)
    put(house, "any@example.org", account=EVERY_ACCOUNT, detail="by law")
    put(house, "foreign@example.org", account=house.ids["forum"])
    put(house, "over@example.org", expires_at=NOW)
    page = owner.get(LIST).text
    assert shown(page) == ["angry@example.org", "gone@example.org", "any@example.org"]
    assert f'href="/accounts/shop/messages/{MESSAGE}"' in page
    for text in (
        "bounce",
        "550 no such user",
        "2 hours ago",
        "until it is lifted",
        "in 3 days",
        "the operator",
        "by law",
    ):
        assert text in html.unescape(page)


def test_an_empty_list_says_what_it_is_for(owner: Browser) -> None:
    page = owner.get(LIST).text
    assert "No address is suppressed." in page
    assert "Export" not in page
    assert "Nothing matches." in owner.get(f"{LIST}?find=joe").text


def test_a_long_list_has_pages_and_is_searched(house: House, owner: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suppressions, "PAGE", 2)
    for n in range(5):
        put(house, f"r{n}@example.org", detail="100% sure" if n else "", now=NOW - 10 * (n // 2))
    seen, path = [], LIST
    while path:
        page = owner.get(path).text
        seen += shown(page)
        older = re.findall(r'href="([^"]+)" rel="next"', page)
        path = html.unescape(older[0]) if older else ""
    assert seen == [f"r{n}@example.org" for n in (1, 0, 3, 2, 4)]
    assert shown(owner.get(f"{LIST}?find=R0@").text) == ["r0@example.org"]
    assert shown(owner.get(f"{LIST}?find=100%25").text) == ["r1@example.org", "r3@example.org"]
    assert owner.get(f"{LIST}?before=x").status_code == 404


def test_an_address_is_added_and_lifted(house: House, owner: Browser) -> None:
    with house.store.write() as session:
        session.query(User).update({"timezone": "Europe/Berlin"})
    fields = {"address": " Joe@Example.org ", "detail": "asked by phone", "until": "2026-12-24"}
    assert owner.post(f"{LIST}add", LIST, **fields).headers["Location"] == LIST
    [made] = kept(house)
    assert (made.address, made.reason, made.detail) == ("joe@example.org", MANUAL, "asked by phone")
    assert made.expires_at == 1_798_066_800.0  # the day's first second in Berlin
    assert "joe@example.org is suppressed." in owner.get(LIST).text
    assert owner.post(f"{LIST}lift", LIST, address="joe@example.org").headers["Location"] == LIST
    assert kept(house) == []
    assert "joe@example.org may be tried again." in owner.get(LIST).text
    told = [("suppressions.lift", "joe@example.org"), ("suppressions.add", "joe@example.org")]
    assert actions(house)[:2] == told
    assert owner.post(f"{LIST}lift", LIST, address="joe@example.org").status_code == 404
    assert actions(house)[:2] == told


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"address": "joe"}, "'joe' is not an address such as joe@example.org"),
        ({"address": ""}, "This field is required."),
        ({"address": "joe@example.org", "until": "2026-11-23"}, "the day has to be in the future"),
        ({"address": "joe@example.org", "until": "soon"}, "Not a valid date value."),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_kept(
    house: House, owner: Browser, fields: dict[str, str], problem: str
) -> None:
    answer = owner.post(f"{LIST}add", LIST, **fields)
    assert answer.status_code == 400
    assert problem in html.unescape(answer.text)
    assert kept(house) == []


def test_only_ones_own_can_be_lifted(house: House, owner: Browser) -> None:
    put(house, "any@example.org", account=EVERY_ACCOUNT)
    put(house, "foreign@example.org", account=house.ids["forum"])
    for address in ("any@example.org", "foreign@example.org", "nonsense"):
        assert owner.post(f"{LIST}lift", LIST, address=address).status_code == 404
    assert len(kept(house, "forum")) == 1


def test_a_long_file_is_written_in_parts_so_that_mail_is_taken_meanwhile(
    house: House, owner: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suppression_list, "_PART", 2)
    assert send(owner, b"".join(b"r%d@example.org\n" % n for n in range(5))).status_code == 302
    assert len(kept(house)) == 5
    with house.store.read() as session:
        told = [one.facts for one in audit.entries(session) if one.action == "suppressions.import"]
    assert told == [{"addresses": n, "of": 5} for n in (1, 2, 2)]


def test_a_file_that_was_exported_is_imported_as_it_was(house: House, owner: Browser) -> None:
    put(house, "+gone@example.org", BOUNCE, detail='550 no, "such"\tuser')
    put(house, "-=cmd@example.org", detail="=HYPERLINK(1)", expires_at=NOW + 3600)
    before = kept(house)
    answer = owner.post(f"{LIST}export", LIST)
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert all(cell[:1] not in "=+-@\t\r" for line in answer.text[1:].splitlines() for cell in line.split(",") if cell)
    for one in before:
        owner.post(f"{LIST}lift", LIST, address=one.address)
    assert send(owner, answer.data).headers["Location"] == LIST
    assert "2 addresses of the file are suppressed." in owner.get(LIST).text
    assert kept(house) == before
    assert ("suppressions.import", "") in actions(house)
    assert ("suppressions.export", "") in actions(house)


def test_what_is_over_is_passed_over_and_counted(house: House, owner: Browser) -> None:
    send(owner, b"joe@example.org,,2020-01-01\nann@example.org,,2020-01-01\nbob@example.org\n")
    page = owner.get(LIST).text
    assert "1 address of the file is suppressed." in page
    assert "2 lines were passed over: their time is over." in page
    assert [one.address for one in kept(house)] == ["bob@example.org"]


def test_a_list_without_heads_is_read_by_its_columns(house: House, owner: Browser) -> None:
    send(owner, "Joe@example.org\r\n\r\nann@example.org;moved;2030-12-31\r\n".replace(";", ",").encode())
    send(owner, b"bob@example.org;called us;\n")
    assert [(one.address, one.detail, one.expires_at) for one in kept(house)] == [
        ("ann@example.org", "moved", 1_924_905_600.0),
        ("bob@example.org", "called us", None),
        ("joe@example.org", "", None),
    ]


@pytest.mark.parametrize(
    ("octets", "problems"),
    [
        (
            b"joe@example.org\njoe\nann@example.org,,yesterday\n",
            ["Line 2: 'joe' is not an address", "Line 3: 'yesterday'"],
        ),
        (b"address,since\njoe@example.org,never\n", ["Line 2: 'never' is no date"]),
        (b"address,reason\n", ["the file has no line with an address"]),
        (b"", ["the file has no line with an address"]),
        (b"joe@example.org,\xff\n", ["the file is not in UTF-8"]),
        (b'joe@example.org,"open\n', ["the file is no CSV"]),
        (b"x\n" * 50, ["Line 20: 'x'", "and 30 more lines"]),
    ],
)
def test_of_a_file_with_mistakes_nothing_is_taken(
    house: House, owner: Browser, octets: bytes, problems: list[str]
) -> None:
    answer = send(owner, octets)
    assert answer.status_code == 400
    for problem in problems:
        assert problem in html.unescape(answer.text)
    assert kept(house) == []


def test_a_file_that_is_too_large_is_refused(owner: Browser) -> None:
    kind = "multipart/form-data; boundary=x"
    answer = owner.client.post(f"{LIST}import", data=b"x" * 1_100_000, content_type=kind, headers=owner.headers)
    assert answer.status_code == 413


def test_who_only_looks_changes_nothing(house: House, password: NewPassword) -> None:
    put(house, "joe@example.org")
    viewer = Browser(house.app())
    viewer.log_in(house.member("shop", "viewer@shop.example", "viewer", password))
    page = viewer.get(LIST).text
    assert "Lift" not in page
    assert "Import" not in page
    for path in ("add", "lift", "import"):
        assert viewer.post(f"{LIST}{path}", LIST, address="joe@example.org").status_code == 403
    assert csv_file.read(viewer.post(f"{LIST}export", LIST).data)[1][0] == "joe@example.org"


def test_hostile_text_stays_text(house: House, owner: Browser, tmp_path: Path) -> None:
    put(house, f'"{HOSTILE}"@example.org', detail=HOSTILE)
    put(house, f'"{HOSTILE}"@example.org', detail=HOSTILE, account=EVERY_ACCOUNT)
    for page in (
        owner.get(f"{LIST}?find={HOSTILE}").text,
        owner.get(f"{LIST}?find=%22{HOSTILE}").text,
        send(owner, HOSTILE.encode(), f"{HOSTILE}.csv").text,
        owner.post(f"{LIST}add", LIST, address=HOSTILE).text,
    ):
        assert HOSTILE not in page
        assert "&lt;script&gt;" in page
