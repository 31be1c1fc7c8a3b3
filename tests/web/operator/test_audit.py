"""The audit log as the operator reads it: everything, by filters, a page at a time."""

from __future__ import annotations

import re

from postmeter.store import audit
from postmeter.store.audit import Actor
from support.panel import NOW, Browser, House

PAGE = "/operator/audit/"
DAY = 86_400.0


def record(house: House, action: str, subject: str, at: float = NOW, account: str = "shop", **facts: object) -> None:
    with house.store.write() as session:
        actor = Actor(None, "ann@shop.example", "192.0.2.4")
        audit.record(session, actor, action, subject, at, account_id=house.ids[account], facts=facts)


def actions(page: str) -> list[str]:
    return re.findall(r'<td class="text"><code>([^<]*)</code>', page)


def test_changes_are_shown_with_their_facts(house: House, operator: Browser) -> None:
    record(house, "connection.pause", "<b>Web shop</b>", reason="holiday", before={"x": [1]})
    page = operator.get(PAGE).text
    for text in (
        "ann@shop.example",
        "192.0.2.4",
        "&lt;b&gt;Web shop",
        "holiday",
        "[1]",
        'href="/operator/accounts/shop/"',
    ):
        assert text in page
    assert "<b>Web" not in page


def test_filters_leave_what_is_like_them(house: House, operator: Browser) -> None:
    record(house, "queue.hold", "all", NOW - 9 * DAY)
    record(house, "queue.cancel", "all", account="forum")
    record(house, "quota.book", "all")
    for query, expected in {
        "action=queue.": ["queue.cancel", "queue.hold"],
        "action=queue.hold": ["queue.hold"],
        "account=forum": ["queue.cancel"],
        "account=nobody": [],
        "find=ANN@": ["quota.book", "queue.cancel", "queue.hold"],
        "from=2026-11-20&action=qu": ["quota.book", "queue.cancel"],
        "until=2026-11-20": ["queue.hold"],
        "from=rubbish&until=9999-12-31&action=qu": ["quota.book", "queue.cancel", "queue.hold"],
    }.items():
        assert actions(operator.get(f"{PAGE}?{query}").text) == expected, query


def test_it_is_read_by_the_page(house: House, operator: Browser) -> None:
    for n in range(60):
        record(house, f"test.n{n:02}", "x")
    first = operator.get(f"{PAGE}?action=test.").text
    older = re.search(r'href="([^"]*)" rel="next"', first)
    assert older
    rest = operator.get(older[1].replace("&amp;", "&")).text
    assert actions(first) + actions(rest) == [f"test.n{n:02}" for n in reversed(range(60))]
    assert operator.get(f"{PAGE}?before=99999999999999999999999").status_code == 200
