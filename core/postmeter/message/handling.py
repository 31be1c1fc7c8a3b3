"""How a message is to be handled on its way out: how urgent it is, for how long it is tried, whether only with TLS."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from postmeter.message.header import HeaderSection, malformed

PRIORITIES = ("urgent", "normal", "bulk")  # a priority is a place in it
URGENT, NORMAL, BULK = range(len(PRIORITIES))
SHORTEST, LONGEST = 60, 5 * 86_400  # seconds that a lifetime may have
PREFIX = b"x-postmeter-"  # of fields that are meant for the relay

_match_lifetime = re.compile(r"([0-9]{1,6})([smhd]?)").fullmatch
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Handling:
    """``priority`` 0 is urgent, 1 normal, 2 bulk; ``lifetime`` in seconds (0: as the setting says).

    With ``tls_required`` it must not leave in clear.
    """

    priority: int = NORMAL
    lifetime: int = 0
    tls_required: bool = False


def priority_of(text: str) -> int:
    """The priority of that name, in any letter case; ValueError with a sentence when there is none."""
    if text.lower() not in PRIORITIES:
        raise ValueError(f"{text[:60]!r} is no priority; there are: {', '.join(PRIORITIES)}")
    return PRIORITIES.index(text.lower())


def lifetime_of(text: str) -> int:
    """The seconds that ``600``, ``10m``, ``2h`` or ``3d`` means; ValueError with a sentence for what is none."""
    found = _match_lifetime(text.lower())
    seconds = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not SHORTEST <= seconds <= LONGEST:
        raise ValueError(f"{text[:60]!r} is no lifetime between 1 minute and 5 days, such as 600, 10m, 2h or 3d")
    return seconds


def in_words(lifetime: int) -> str:
    """A lifetime as ``lifetime_of`` takes it, in the largest unit that fits."""
    unit = next((unit for unit in "dhm" if lifetime % _SECONDS[unit] == 0), "s")
    return f"{lifetime // _SECONDS[unit]}{unit}"


def handling_of(section: HeaderSection, usual: Handling) -> Handling:
    """What the message's own fields say, and for the rest ``usual``, its connection's; TLS can only be asked for.

    Refused (550 5.6.0): a field that is there twice, or says nothing that can be done.
    """
    given = [field for field in section.fields if field.name.startswith(PREFIX)]
    if not given:
        return usual
    values: dict[str, int | bool] = {}
    for field in given:
        if (known := _FIELDS.get(field.name)) is None:
            continue
        name, key, parse = known
        if key in values:
            raise malformed(f"{name}: at most one is allowed")
        try:
            values[key] = parse(field.value.decode("ascii", "backslashreplace"))
        except ValueError as error:
            raise malformed(f"{name}: {error}") from None
    return replace(usual, **values)  # type: ignore[arg-type]


def _required(text: str) -> bool:
    if text.lower() != "required":
        raise ValueError(f"{text[:60]!r} is not known; there is: required")
    return True


_FIELDS: Mapping[bytes, tuple[str, str, Callable[[str], int | bool]]] = {
    b"x-postmeter-priority": ("X-Postmeter-Priority", "priority", priority_of),
    b"x-postmeter-lifetime": ("X-Postmeter-Lifetime", "lifetime", lifetime_of),
    b"x-postmeter-tls": ("X-Postmeter-TLS", "tls_required", _required),
}
