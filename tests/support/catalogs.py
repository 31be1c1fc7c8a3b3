"""What the pages say and whether it is translated. ``python tests/support/catalogs.py`` prints what is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from babel.messages.catalog import Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

ROOT = Path(__file__).parent.parent.parent
PACKAGES = [ROOT / "web/postmeter_web", *sorted((ROOT / "plugins").glob("postmeter_*"))]
_KEYWORDS = {
    **dict.fromkeys(("_", "gettext", "lazy_gettext", "N_"), None),
    **dict.fromkeys(("ngettext", "lazy_ngettext"), (1, 2)),
    "setting": (2,),  # of a plugin: what it is for is read where it is changed
}
_METHODS = [("**.py", "python"), ("templates/**.html", "jinja2")]
Key = str | tuple[str, ...]


@dataclass(frozen=True)
class Translated:
    """A message in a catalog: where, and what it becomes."""

    path: Path
    text: Key
    fuzzy: bool


def said(package: Path) -> dict[Key, str]:
    """All messages of a package's code and templates, each with a place where it stands."""
    found: dict[Key, str] = {}
    for name, line, message, _comments, _context in extract_from_dir(
        package, method_map=_METHODS, keywords=_KEYWORDS, options_map={"**.html": {"silent": "false"}}
    ):
        found.setdefault(message, f"{package.name}/{name}:{line}")
    return found


def catalogs(package: Path, language: str = "de") -> Iterator[tuple[Key, Translated]]:
    """All messages in the catalogs of a package."""
    for path in sorted((package / "translations" / language).glob("*.po")):
        with path.open("rb") as file:
            for message in read_po(file, locale=language, abort_invalid=True):
                if message.id:
                    yield message.id, _translated(path, message)


def loose_text(template: str) -> list[str]:
    """What a template says without a translation: text between tags, and attributes that are read aloud."""
    plain = re.sub(r"\{#.*?#\}|<script.*?</script>|<code.*?</code>", " ", template, flags=re.DOTALL)
    plain = re.sub(r"\{%-?\s*trans.*?endtrans\s*-?%\}", " ", plain, flags=re.DOTALL)
    plain = re.sub(r"\{%.*?%\}|\{\{.*?\}\}", "\N{NO-BREAK SPACE}", plain, flags=re.DOTALL)
    read = re.findall(r'\b(?:aria-label|title|placeholder|alt)="([^"]*)"', plain)
    text = re.sub(r"<[^>]*>", "\n", plain).split("\n")
    return [
        one.strip() for one in (*read, *text) if re.search(r"[A-Za-zÄÖÜäöü]{2}", re.sub(r"&\w+;|Postmeter", "", one))
    ]


def _translated(path: Path, message: Message) -> Translated:
    text = message.string
    return Translated(path, text if isinstance(text, str) else tuple(text), message.fuzzy)


def main() -> None:
    """Print, in the form of a .po file, what no catalog has."""
    for package in PACKAGES:
        have = {key for key, message in catalogs(package) if message.text and all(message.text)}
        for key, place in sorted(said(package).items(), key=lambda item: item[1]):
            if key in have:
                continue
            print(f"#: {place}")
            if isinstance(key, tuple):
                print(f'msgid {quoted(key[0])}\nmsgid_plural {quoted(key[1])}\nmsgstr[0] ""\nmsgstr[1] ""\n')
            else:
                print(f'msgid {quoted(key)}\nmsgstr ""\n')


def quoted(text: str) -> str:
    """As .po files write it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


if __name__ == "__main__":
    main()
