"""The relay finds the plugin, and the billing run happens on the billing day without anybody's doing."""

from __future__ import annotations

import ast
import logging
from datetime import date
from pathlib import Path
from typing import cast

import pytest
from attrs import evolve

import postmeter
import postmeter_billing
from postmeter.config import Plugins as Section
from postmeter.config import Settings
from postmeter.hooks import Plugins
from postmeter.store.engine import Store
from postmeter_billing.plugin import Billing
from postmeter_billing.settings import BillingSettings
from postmeter_billing.texts import TEXTS
from support.billing import DAY, SETTINGS, Office
from support.tenants import NOW


def look(office: Office) -> None:
    """The plugin's job, as the relay does it each hour."""
    looks(office, started(office))


def started(office: Office) -> Billing:
    plugin = Billing()
    plugin.on_start(office.core)
    return plugin


def looks(office: Office, plugin: Billing) -> None:
    for job in plugin.jobs():
        job.run(office.now)


def test_the_relay_finds_it() -> None:
    found = Plugins.load(Settings(plugins=Section(enabled=("billing",), tables={"billing": {"vat": "7"}})))
    assert cast(BillingSettings, found.own("billing")).rate == 700
    assert list(found.migrations()) == ["billing"]
    assert [command.name for command in found.commands("billing")] == ["billing"]


def test_invoices_are_written_on_the_billing_day_and_once(store: Store) -> None:
    office = Office(store)
    office.now = NOW - 20 * DAY
    account_id = office.open("acme", 25_000)
    for hour in range(-48, 72):
        office.now = NOW + hour * 3600
        look(office)
        if hour == 20:
            office.book(account_id, 50_000)
    assert [(entry.number, entry.day) for entry in office.entries()] == [("2027-000001", "2027-01-15")]
    office.now = NOW + 31 * DAY
    look(office)
    assert [(entry.number, entry.day) for entry in office.entries()][1:] == [("2027-000002", "2027-02-15")]


def test_a_billing_day_that_was_missed_is_made_up_for(store: Store) -> None:
    office = Office(store)
    office.now = NOW - 3 * DAY
    office.open("acme", 25_000)
    office.now = NOW + 2 * DAY
    look(office)
    look(office)
    assert [entry.day for entry in office.entries()] == ["2027-01-17"]


def test_somebody_new_is_billed_on_the_next_billing_day(store: Store) -> None:
    office = Office(store)
    office.now = NOW + DAY
    office.open("acme", 25_000)
    look(office)
    assert office.entries() == []
    office.now = NOW + 31 * DAY
    look(office)
    assert [entry.day for entry in office.entries()] == [date(2027, 2, 15).isoformat()]


def test_without_a_seller_there_is_nothing_to_do(store: Store) -> None:
    office = Office(store, evolve(SETTINGS, seller_name=""))
    office.open("acme", 25_000)
    assert started(office).jobs() == []


def test_who_is_not_billed_for_want_of_an_address_is_in_the_log(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    office = Office(store)
    office.open("acme", 25_000)
    office.open("other", 25_000, address=False)
    with caplog.at_level(logging.INFO, "postmeter_billing"):
        look(office)
    assert caplog.messages == [
        "wrote the invoice 2027-000001 for the account acme",
        "the account other is not billed: it has no billing address",
    ]


def test_the_log_says_once_for_each_billing_date_who_has_no_address_even_when_nobody_has_one(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    office = Office(store)
    office.open("blocks", 25_000, address=False)
    office.open("overdraft", overdraft=1, address=False)
    office.open("quiet", address=False)
    plugin = started(office)
    warnings = [f"the account {name} is not billed: it has no billing address" for name in ("blocks", "overdraft")]
    for dates, days in enumerate((31, 28), 1):
        for _ in range(days):
            looks(office, plugin)
            office.now += DAY
        assert caplog.messages == warnings * dates


def test_who_could_not_be_billed_is_tried_again_at_the_next_look(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office(store)
    office.open("acme", 25_000, language="de")
    office.open("zeta", 25_000)
    with monkeypatch.context() as patch:
        patch.delitem(TEXTS, "de")
        look(office)
    assert [entry.number for entry in office.entries()] == ["2027-000001"]
    look(office)
    assert [entry.number for entry in office.entries()] == ["2027-000001", "2027-000002"]


def test_it_uses_only_what_the_relay_offers_plugins() -> None:
    folder = Path(postmeter_billing.__file__).parent
    nodes = [node for path in folder.glob("*.py") for node in ast.walk(ast.parse(path.read_text("utf-8")))]
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    assert [name for name in plain if name.partition(".")[0] == "postmeter"] == []
    taken = [
        node for node in nodes if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "postmeter"
    ]
    assert {node.module for node in taken} == {"postmeter"}
    assert {alias.name for node in taken for alias in node.names} <= set(postmeter.__all__)
