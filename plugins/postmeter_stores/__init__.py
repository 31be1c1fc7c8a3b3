"""Shops are told what became of their mail: a note in the order, by the shop's own API."""

from postmeter_stores.plugin import StoresPlugin

__all__ = ["StoresPlugin"]
