"""Inbound: listeners, sessions over Twisted, log-in, and the acceptance of a message."""
