"""The operator's queue."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

blueprint = Blueprint("queue", __name__)


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """The page."""
    return render_template("empty.html")
