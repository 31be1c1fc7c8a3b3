"""What somebody means by the text in the box of the messages: the ways to read it, the likeliest first."""

from __future__ import annotations

import re
from typing import Any

from postmeter.message.identifier import is_id

_ORDER = re.compile(r"#?(\d[\w./-]*)")  # what shops call an order


def readings(find: str) -> list[dict[str, Any]]:
    """The fields of ``Wanted`` that a text may stand for; what an index finds comes before what takes time."""
    text = find.strip()
    if not text:
        return [{}]
    if is_id(text.upper()):
        return [{"id": text.upper()}]
    if re.search(r"\s", text):
        return [{"subject": text}]
    if text.startswith("<") and text.endswith(">"):
        return [{"message_id": text}, {"recipient": text[1:-1]}]
    if text.startswith("@"):
        return [{"recipient": text}, {"sender": text}]
    if "@" in text:
        return [{"recipient": text}, {"message_id": f"<{text}>"}, {"sender": text}]
    order = _ORDER.fullmatch(text)
    references = [text, *([f"order:{order[1]}"] if order else [])]
    return [*({"reference": one} for one in references), {"subject": text}]
