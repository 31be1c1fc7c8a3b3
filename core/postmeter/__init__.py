"""Postmeter, a relay for transactional mail: the names here are all that a plugin may use."""

from postmeter import console
from postmeter.config import Settings
from postmeter.console import pass_core
from postmeter.core import Core
from postmeter.errors import ConfigError, PostmeterError, UnreachableError, UsageError
from postmeter.event import Event
from postmeter.fetch import Fetched, FetchError, check_url, fetch
from postmeter.hookspecs import Job, Message, Page, Service, Tariff, hookimpl
from postmeter.message.envelope import Recipient
from postmeter.plugin_settings import PluginSettings
from postmeter.quota import price as prices
from postmeter.setting import setting
from postmeter.smtp.reply import Refused, Reply
from postmeter.store.accounts import AccountFacts, Member
from postmeter.store.connections import ConnectionFacts
from postmeter.store.quota import BlockFacts, Booking, QuotaFacts
from postmeter.store.timeline import EventFacts, MessageFacts, RecipientFacts

__all__ = [
    "AccountFacts",
    "BlockFacts",
    "Booking",
    "ConfigError",
    "ConnectionFacts",
    "Core",
    "Event",
    "EventFacts",
    "FetchError",
    "Fetched",
    "Job",
    "Member",
    "Message",
    "MessageFacts",
    "Page",
    "PluginSettings",
    "PostmeterError",
    "QuotaFacts",
    "Recipient",
    "RecipientFacts",
    "Refused",
    "Reply",
    "Service",
    "Settings",
    "Tariff",
    "UnreachableError",
    "UsageError",
    "check_url",
    "console",
    "fetch",
    "hookimpl",
    "pass_core",
    "prices",
    "setting",
]
