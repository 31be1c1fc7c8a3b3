"""Outbound: from a leased recipient to the remote mail server's answer, and that into the store."""
