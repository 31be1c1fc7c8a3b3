"""What all forms have in common: the problem that the store found, and fields that look alike."""

from __future__ import annotations

import secrets

from flask_wtf import FlaskForm
from wtforms import HiddenField

from postmeter.errors import UsageError
from postmeter_web.sentences import in_words


class Form(FlaskForm):  # type: ignore[misc]
    """A form of the panel; ``problem`` is shown above it."""

    problem = ""

    def refuse(self, error: UsageError) -> None:
        """Say what the store had against it."""
        self.problem = in_words(str(error))


class Once(Form):
    """A form that does its work once, however often it is sent: ``request`` is the key of this one."""

    request = HiddenField(default=lambda: secrets.token_urlsafe(16))
