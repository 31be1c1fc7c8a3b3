"""The open page on which everybody may ask for an account."""

from __future__ import annotations

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext
from wtforms import EmailField, StringField, TextAreaField
from wtforms.validators import InputRequired, Length, Regexp

from postmeter.errors import UsageError
from postmeter.store import access_requests, accounts
from postmeter.store.access_requests import NewRequest
from postmeter_web.context import changing, now, panel
from postmeter_web.forms import Form
from postmeter_web.languages import language
from postmeter_web.person import guard, letters
from postmeter_web.person.guard import Denied

blueprint = Blueprint("access_request", __name__)

# Each sign fits in one place only: a field that is too long is matched as well, and must not take minutes.
_LABEL = r"[^\s./@<>\"]+"
_WEBSITE = rf"\s*(https?://)?{_LABEL}(\.{_LABEL})+\.?(/[^\s<>\"]*)?\s*\Z"


class RequestForm(Form):
    """Who asks, and what for."""

    name = StringField(
        lazy_gettext("Name of the account"),
        [InputRequired(), Length(max=100)],
        description=lazy_gettext("Your company's or your shop's name."),
        render_kw={"autocomplete": "organization"},
    )
    email = EmailField(
        lazy_gettext("E-mail address"),
        [InputRequired(), Length(max=254)],
        description=lazy_gettext("You log in with it, and our answer goes there."),
        render_kw={"autocomplete": "email"},
    )
    website = StringField(
        lazy_gettext("Website"),
        [InputRequired(), Length(max=200), Regexp(_WEBSITE, message=lazy_gettext("Such as shop.example."))],
        render_kw={"autocomplete": "url", "inputmode": "url"},
    )
    text = TextAreaField(
        lazy_gettext("What will be sent?"),
        [InputRequired(), Length(max=2000)],
        description=lazy_gettext("Which mails, to whom, and about how many a month."),
        render_kw={"rows": 4},
    )


@blueprint.before_request
def only_when_open() -> None:
    """Without requests there is no such page."""
    if not panel().settings.web.requests:
        abort(404)


@blueprint.get("/request")
@blueprint.post("/request")
def ask() -> ResponseReturnValue:
    """The form; the answer is the same when the address has asked already."""
    form = RequestForm()
    if not form.validate_on_submit():
        return render_template("person/request.html", form=form), 200 if request.method == "GET" else 400
    try:
        guard.count_try(panel().letters, f"request {guard.here()}")
        _keep(_asked(form))
    except UsageError as error:
        form.refuse(error)
        return render_template("person/request.html", form=form), 400
    except Denied as denied:
        form.problem = str(denied)
        return render_template("person/request.html", form=form), denied.status
    return redirect(url_for("access_request.thanks"))


@blueprint.get("/request/thanks")
def thanks() -> ResponseReturnValue:
    """What happens next."""
    return render_template("person/thanks.html")


def _asked(form: RequestForm) -> NewRequest:
    fields = {name: form[name].data.strip() for name in ("name", "email", "website", "text")}
    return NewRequest(**fields, language=language(), address=request.remote_addr or "")


def _keep(asked: NewRequest) -> None:
    """Keep the request, and tell every operator."""
    with changing("access.request", asked.email, account=asked.name) as change:
        if access_requests.add(change.db, asked, now()):
            for operator in accounts.operators(change.db):
                letters.requested(change.db, operator.email, operator.language, asked)
