"""What an operator can set: [plugins.stores]."""

from __future__ import annotations

from attrs import frozen

from postmeter import PluginSettings, setting


@frozen
class Settings(PluginSettings):
    """The settings of this plugin. A mail is worth more than the note about it: without an answer it goes on."""

    policy: str = setting(
        "open",
        "what becomes of a message about which the plugin gives no answer: refused for now (451), or let through",
        choices=("tempfail", "open"),
    )
    allow_private: bool = setting(False, "may connect to shops at non-public addresses, and without TLS")
    ca_file: str = setting("", "PEM file with further certificate authorities that shops' certificates may be of")
    timeout: int = setting(10, "seconds that a shop has for an answer", least=1, most=60)
    threads: int = setting(8, "shops that are written to at the same time", least=1, most=64)
    pause_hours: int = setting(6, "hours that a shop may refuse the log-in, then it is paused", least=0, most=720)
    give_up_days: int = setting(7, "days after which a note that could not be written is given up", least=1, most=90)
    keep_days: int = setting(
        30, "days that notes are kept here after they were written or given up", least=1, most=3650
    )
