"""Everything the pages say is there in every language."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from postmeter_web.languages import Catalogs
from support import catalogs
from support.catalogs import PACKAGES, ROOT, Key
from support.panel import OWNER, Browser, House

packages = pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
TEMPLATES = [template for package in PACKAGES for template in sorted(package.rglob("templates/**/*.html"))]


@packages
def test_every_message_is_translated(package: Path) -> None:
    have = {key for key, message in catalogs.catalogs(package) if message.text and all(message.text)}
    missing = {key: place for key, place in catalogs.said(package).items() if key not in have}
    assert missing == {}, "python tests/support/catalogs.py prints them for a catalog"


@packages
def test_no_translation_is_of_a_message_that_is_not_there(package: Path) -> None:
    said = catalogs.said(package)
    assert [(key, message.path.name) for key, message in catalogs.catalogs(package) if key not in said] == []


def test_a_message_has_one_translation_and_is_not_doubtful() -> None:
    found: dict[Key, Key] = {}
    for package in PACKAGES:  # all are one catalog in the end
        for key, message in catalogs.catalogs(package):
            assert not message.fuzzy, key
            assert found.setdefault(key, message.text) == message.text, key


def test_the_words_of_a_plugin_do_not_change_those_of_the_panel(tmp_path: Path) -> None:
    for name, german in (("a", "Plugin"), ("b", "Panel")):
        (tmp_path / name / "translations/de").mkdir(parents=True)
        (tmp_path / name / "translations/de/x.po").write_text(f'msgid "Go on"\nmsgstr "{german}"\n')
    assert Catalogs([tmp_path / "b", tmp_path / "a"])._translations["de"].gettext("Go on") == "Panel"


@packages
def test_a_translation_has_the_same_places_to_fill(package: Path) -> None:
    for key, message in catalogs.catalogs(package):
        for text in [message.text] if isinstance(message.text, str) else message.text:
            wanted = places(key if isinstance(key, str) else key[1])
            assert places(text) == wanted, key


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_template_says_nothing_untranslated(template: Path) -> None:
    assert catalogs.loose_text(template.read_text()) == []


@pytest.mark.parametrize(
    ("template", "loose"),
    [
        ('<p>{{ _("Hello") }}</p>', []),
        ("<p>Hello {{ name }}</p>", ["Hello"]),
        ('<a title="Hello">{{ _("x") }}</a>', ["Hello"]),
        ('<a title="{{ _("Hello") }}">{% trans %}Hello{% endtrans %}</a>', []),
        ("{# Hello #}<code>Hello</code>", []),
        ("Postmeter &middot; {% if hello %}–{% endif %}", []),
    ],
)
def test_untranslated_text_is_found(template: str, loose: list[str]) -> None:
    assert [text.strip("\N{NO-BREAK SPACE} ") for text in catalogs.loose_text(template)] == loose


def places(text: str) -> set[str]:
    return set(re.findall(r"%\(\w+\)[sd]|\{\w+\}", text))


def test_the_browser_says_which_language_is_read(browser: Browser) -> None:
    assert '<html lang="de">' in browser.get("/login", **{"Accept-Language": "de-AT,en;q=0.5"}).text
    assert '<html lang="en">' in browser.get("/login", **{"Accept-Language": "fr"}).text
    assert "Anmelden" in browser.get("/login", **{"Accept-Language": "de"}).text


def test_a_choice_counts_more_than_the_browser(house: House, owner: Browser) -> None:
    with house.store.write() as session:
        from postmeter.store.tables import User

        session.query(User).filter_by(email=OWNER).update({"language": "de"})
    assert "Verbindungen" in owner.get("/accounts/shop/").text
