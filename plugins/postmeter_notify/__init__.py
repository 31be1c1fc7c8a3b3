"""Tells an account's admins by mail what they should know: quota, domains, connections, and what other plugins say."""
