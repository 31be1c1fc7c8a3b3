"""The plugin with a page in plugins/README.md works as it stands there: form, table, audit log and translation."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from postmeter.store import plugin_steps
from postmeter.store.secrets import NewPassword
from support.panel import OTHER, OWNER, Browser, House

MANUAL = (Path(__file__).parents[3] / "plugins" / "README.md").read_text("utf-8")
PAGE = "/accounts/shop/greeter/"
HOSTILE = "<script>alert(1)</script>"


def code(language: str, having: str = "") -> str:
    """The piece of that language in which ``having`` stands."""
    found = re.findall(rf"```{language}\n(.*?)```", MANUAL, re.DOTALL)
    return next(piece for piece in found if having in piece)


@pytest.fixture
def greeter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """The plugin, in the files that the manual names."""
    package = tmp_path / "manual" / "postmeter_greeter"
    for name, text in (
        ("__init__.py", code("python", "GreetingForm")),
        ("templates/greeter.html", code("html")),
        ("translations/de/greeter.po", code("po")),
    ):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text, "utf-8")
    monkeypatch.syspath_prepend(str(package.parent))
    yield importlib.import_module("postmeter_greeter").Plugin()
    del sys.modules["postmeter_greeter"]


def visit(house: House, greeter: object, email: str) -> Browser:
    browser = Browser(house.app(greeter=greeter))
    assert browser.log_in(email).status_code == 302
    return browser


@pytest.fixture
def owner(house: House, greeter: object) -> Browser:
    """The owner of shop, in a panel with the plugin."""
    plugin_steps.migrate(house.store, {"greeter": greeter.migrations()})  # type: ignore[attr-defined]
    return visit(house, greeter, OWNER)


def test_the_example_keeps_what_is_entered_and_notes_it(owner: Browser, house: House, greeter: object) -> None:
    assert owner.post(PAGE, PAGE, text=HOSTILE).headers["Location"] == PAGE
    page = owner.get(PAGE).text
    assert "The greeting is saved." in page
    assert 'value="&lt;script&gt;alert(1)&lt;/script&gt;"' in page
    (entry,) = house.changes()
    assert (entry.action, entry.subject, entry.account_id) == ("greeting.change", "shop", house.ids["shop"])
    other = visit(house, greeter, OTHER)
    assert "alert(1)" not in other.get("/accounts/forum/greeter/").text
    assert other.get(PAGE).status_code == 404


def test_the_example_refuses_what_is_too_long(owner: Browser) -> None:
    answer = owner.post(PAGE, PAGE, text="x" * 101)
    assert answer.status_code == 400
    assert "Field cannot be longer than 100 characters." in answer.text


def test_the_example_goes_by_roles(owner: Browser, house: House, greeter: object, password: NewPassword) -> None:
    viewer = visit(house, greeter, house.member("shop", "viewer@shop.example", "viewer", password))
    assert viewer.get(PAGE).status_code == 200
    assert viewer.post(PAGE, PAGE, text="moin").status_code == 403


def test_the_example_is_translated(owner: Browser) -> None:
    page = owner.get(PAGE, **{"Accept-Language": "de"}).text
    assert 'aria-current="page">Begrüßung' in page
    assert "Speichern" in page
