"""The settings of the plugin, in the table [plugins.notify]."""

from __future__ import annotations

from email.errors import MessageError
from email.headerregistry import Address
from urllib.parse import urlsplit

from attrs import frozen

from postmeter import ConfigError, PluginSettings, setting

KINDS = (
    "quota_low",
    "quota_exhausted",
    "quota_overdraft",
    "quota_expiring",
    "quota_renewed",
    "quota_expired",
    "domain_broken",
    "domain_refused",
    "connection_paused",
    "notice",
)
LANGUAGES = ("en", "de")


@frozen
class NotifySettings(PluginSettings):
    """What can be set; ConfigError when it cannot be so."""

    sender: str = setting("", "address that the mails come from; empty: postmaster at the relay's host name")
    language: str = setting("en", "language of accounts for which no other is set", choices=LANGUAGES)
    panel: str = setting("", "URL of the panel, put into the mails; empty: none is")
    events: tuple[str, ...] = setting(KINDS, "kinds of events that mails are sent about")

    def __attrs_post_init__(self) -> None:
        """Check what belongs together or has a grammar of its own."""
        if self.sender and not _is_address(self.sender):
            raise ConfigError(f"plugins.notify.sender: {self.sender!r} is not an address such as help@example.net")
        url = urlsplit(self.panel)
        if self.panel and not (url.scheme in ("http", "https") and url.netloc and _is_word(self.panel)):
            raise ConfigError(f"plugins.notify.panel: {self.panel!r} is not a URL such as https://panel.example.net")
        for kind in self.events:
            if kind not in KINDS:
                raise ConfigError(f"plugins.notify.events: there is no kind {kind!r}; there are: {', '.join(KINDS)}")


def _is_address(text: str) -> bool:
    try:
        address = Address(addr_spec=text)
    except (ValueError, IndexError, MessageError):
        return False
    return _is_word(text) and bool(address.username and address.domain)


def _is_word(text: str) -> bool:
    return text.isprintable() and " " not in text
