"""What can be set in [plugins.webhooks]."""

from __future__ import annotations

from attrs import frozen

from postmeter import Core, PluginSettings, setting


@frozen
class WebhookSettings(PluginSettings):
    """The plugin's settings."""

    allow_private: bool = setting(False, "may call addresses that are not public, and http (tests, systems inside)")
    timeout: int = setting(15, "seconds that an endpoint has for an answer", least=1, most=60)
    keep_days: int = setting(14, "days that finished deliveries can be seen and replayed", least=1, most=365)
    max_endpoints: int = setting(10, "endpoints that an account may have", least=1, most=1000)


def own(core: Core) -> WebhookSettings:
    """The plugin's settings as the relay read them."""
    assert isinstance(core.own, WebhookSettings)
    return core.own
