"""Tells customers' own systems what became of their mail, by Standard Webhooks (standardwebhooks.com)."""
