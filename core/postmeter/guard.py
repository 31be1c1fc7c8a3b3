"""The settings of the guard, which pauses a connection whose mail bounces or is complained about too often."""

from __future__ import annotations

from attrs import frozen

from postmeter.setting import setting


@frozen
class Guard:
    """What a connection may come to before its admins are warned, and before it is paused."""

    bounce_percent: int = setting(
        5,
        "a connection is paused when more than this many per cent of its recipients bounced through its own fault; 0: "
        "never",
        least=0,
        most=100,
    )
    complaint_permille: int = setting(
        3,
        "a connection is paused when more than this many of 1,000 recipients complained; 0: never",
        least=0,
        most=1000,
    )
    warn_bounce_percent: int = setting(
        1,
        "its admins are warned when more than this many per cent of the addresses at one provider do not exist; 0: "
        "never",
        least=0,
        most=100,
    )
    warn_complaint_permille: int = setting(
        1, "its admins are warned when more than this many of 1,000 recipients complained; 0: never", least=0, most=1000
    )
    recipients: int = setting(200, "recipients whose fate is known that a judgement needs at least", least=1)
    days: int = setting(7, "days up to now that are looked at", least=2, most=30)
