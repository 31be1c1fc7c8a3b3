"""Texts of strangers that would be more than text, were they let: in a page they are read, and nothing else."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

ATTACK = '<script>alert(1)</script>"><img src=x onerror=alert(1)>{{7*191}}'
LINK = "javascript:alert(1)"
_LINKS = {"href", "src", "action", "formaction", "xlink:href", "data", "poster"}


def hostile(what: str, mark: str = "") -> str:
    """A text that says whose and what it is; it would be a script, end an attribute or be a template."""
    return f"{mark} {what} {ATTACK}".strip()


def told(page: str) -> set[str]:
    """What hostile texts are on a page, by what they say of themselves; as text, not as more."""
    return set(re.findall(r"([\w-]+) <script>alert\(1\)", html.unescape(page)))


class Harm(HTMLParser):
    """What a page would do that a text of a stranger has brought: scripts, handlers, styles, pictures, links."""

    def __init__(self, page: str) -> None:
        """Read it all."""
        super().__init__()
        self.found: list[str] = ["a template was filled in"] if "1337" in page else []
        self._styled = page.lstrip().startswith("<?xml")  # a chart, which has a policy of its own
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Judge an element."""
        given = {name: (value or "").strip() for name, value in attributes}
        own_script = given.get("src", "").startswith("/static/") or given.get("type") == "application/json"
        if tag == "script" and not own_script:
            self.found.append(f"script {given}")
        if tag == "img" and given.get("src") == "x":
            self.found.append(f"picture {given}")
        for name, value in given.items():
            if name.startswith("on") or (name == "style" and not self._styled):
                self.found.append(f"{tag} {name}={value}")
            if name in _LINKS and re.match(r"\s*(javascript|vbscript|data:text)", value, re.IGNORECASE):
                self.found.append(f"{tag} {name}={value}")
