"""Postmeter, a relay for transactional mail: the names here are all that a plugin may use."""

from postmeter.config import Settings
from postmeter.hookspecs import Event, Message, Service, hookimpl
from postmeter.message.envelope import Recipient
from postmeter.quota.price import PriceList, Tier, cents
from postmeter.smtp.reply import Refused, Reply

__all__ = [
    "Event",
    "Message",
    "PriceList",
    "Recipient",
    "Refused",
    "Reply",
    "Service",
    "Settings",
    "Tier",
    "cents",
    "hookimpl",
]
