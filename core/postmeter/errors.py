"""Errors that a person reads: each says what is wrong and how to mend it."""

from __future__ import annotations


class PostmeterError(Exception):
    """Shown as one sentence, without a traceback; the process ends with ``exit_code``."""

    exit_code = 1


class UsageError(PostmeterError):
    """A command was given something that does not exist or cannot be."""

    exit_code = 2


class ConfigError(PostmeterError):
    """The configuration cannot be used; the text names the key."""

    exit_code = 3


class UnreachableError(PostmeterError):
    """A database, port or folder that is needed cannot be had."""

    exit_code = 4
