"""An account's messages."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from postmeter_web.access import own_pages

blueprint = own_pages(Blueprint("messages", __name__))


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """The page."""
    return render_template("empty.html")
