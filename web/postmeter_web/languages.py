"""The languages of the panel: which one a visitor reads, and catalogs read straight from the .po files."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from flask import Flask, request
from flask_babel import Babel, Domain, get_locale
from flask_login import current_user

from postmeter_web.context import panel

LANGUAGES = {"en": "English", "de": "Deutsch"}  # each by its own name
COOKIE = "language"  # what was chosen in this browser: for pages that know no visitor
FOLDER = "translations"  # of a package with pages: translations/<language>/*.po


class Catalogs(Domain):  # type: ignore[misc]
    """The messages of the panel and of its plugins, all in one catalog per language; English is in the source."""

    def __init__(self, packages: Iterable[Path]) -> None:
        super().__init__()
        folders = [package / FOLDER for package in packages]
        self._translations = {language: _translations(folders, language) for language in LANGUAGES}

    def get_translations(self) -> NullTranslations:
        """The catalog of the page's language."""
        locale = get_locale()
        return self._translations[locale.language if locale else "en"]


class Languages(Babel):  # type: ignore[misc]
    """Flask-Babel with the catalogs above instead of compiled files."""

    def __init__(self, app: Flask, packages: Iterable[Path]) -> None:
        self._catalogs = Catalogs(packages)
        super().__init__(app, locale_selector=language, timezone_selector=timezone)

    @property
    def domain_instance(self) -> Domain:
        """Where messages are looked up."""
        return self._catalogs


def init_app(app: Flask, packages: Iterable[Path]) -> None:
    """Have pages speak the visitor's language; ``packages``: the folders of the panel and of plugins with pages."""
    Languages(app, packages)
    app.jinja_env.globals.update(language=language, LANGUAGES=LANGUAGES)


def language() -> str:
    """What the visitor has chosen, else this browser's."""
    chosen = current_user.facts.language if current_user.is_authenticated else ""
    return chosen if chosen in LANGUAGES else language_of_browser()


def language_of_browser() -> str:
    """What was chosen in this browser, else the best of what it wants; needs no database."""
    chosen = request.cookies.get(COOKIE, "")
    wanted = (tag.partition("-")[0].lower() for tag in request.accept_languages.values())
    return chosen if chosen in LANGUAGES else next((tag for tag in wanted if tag in LANGUAGES), "en")


def timezone() -> str:
    """The time zone that the visitor has chosen, else the one of the settings."""
    chosen = current_user.facts.timezone if current_user.is_authenticated else ""
    return chosen or panel().settings.web.timezone


def _translations(folders: Iterable[Path], language: str) -> NullTranslations:
    """What all the .po files of a language say; what a package says already, those behind it do not change."""
    whole = Catalog(locale=language)
    for path in (path for folder in folders for path in sorted((folder / language).glob("*.po"))):
        with path.open("rb") as file:
            for message in read_po(file, locale=language, abort_invalid=True):
                if message.id and message.id not in whole:
                    whole[message.id] = message
    compiled = io.BytesIO()
    write_mo(compiled, whole)
    compiled.seek(0)
    return Translations(compiled)
