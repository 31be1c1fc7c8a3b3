"""The operator's plugins."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

blueprint = Blueprint("plugins", __name__)


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """The page."""
    return render_template("empty.html")
