"""Who may see and change what: pages have a place, views need a right, roles have rights; the rest does not exist."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import unquote

from flask import Blueprint, Flask, abort, current_app, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy.orm import Session
from werkzeug.routing import IntegerConverter, Map, UnicodeConverter

from postmeter.errors import UsageError
from postmeter.store import accounts
from postmeter.store.accounts import UserFacts
from postmeter_web.context import MOST, note, panel, visitor
from postmeter_web.person import guard

OPEN, PERSON, ACCOUNT, OPERATOR = "open", "person", "account", "operator"  # places: who comes in at all
MEMBER, VIEW, MANAGE, BILL, OWN = "member", "view", "manage", "bill", "own"  # rights within an account
RIGHTS: dict[str, frozenset[str]] = {  # by role
    "owner": frozenset({MEMBER, VIEW, MANAGE, BILL, OWN}),
    "admin": frozenset({MEMBER, VIEW, MANAGE, BILL}),
    "billing": frozenset({MEMBER, BILL}),
    "viewer": frozenset({MEMBER, VIEW}),
    "operator": frozenset({MEMBER, VIEW, MANAGE, BILL, OWN}),  # who views the account as its customer does
}
SET_UP = "second_factor"  # the blueprint of the pages that who lacks a second factor has left
VIEWING = "viewing"  # in the session: the number of the account that an operator views

V = TypeVar("V", bound=Callable[..., Any])


@dataclass(frozen=True)
class AccountLink:
    """An account as far as pages need it, and the visitor's role in it."""

    id: int
    name: str
    role: str

    def may(self, right: str) -> bool:
        """Whether the visitor has this right in the account."""
        return right in RIGHTS[self.role]


@dataclass(frozen=True)
class Place:
    """Where the views of a blueprint belong, and the rights that those need which say nothing themselves."""

    name: str
    reads: str = VIEW
    changes: str = MANAGE


@dataclass(frozen=True)
class Places:
    """The place of every blueprint, by its name."""

    known: dict[str, Place] = field(default_factory=dict)


class AccountName(UnicodeConverter):
    """An account's name in a path: any name, also one with a slash or of dots only, which browsers would resolve."""

    def to_url(self, value: str) -> str:
        """The name as one path segment."""
        value = value.replace("%", "%25").replace("/", "%2F")
        return super().to_url(value if value.strip(".") else value.replace(".", "%2E"))

    def to_python(self, value: str) -> str:
        """The name that ``to_url`` was given."""
        return unquote(super().to_python(value))


class RowNumber(IntegerConverter):
    """A number in a path; one that is greater than those of a database leads nowhere."""

    def __init__(self, map: Map) -> None:
        super().__init__(map, max=MOST)


def init_app(app: Flask) -> None:
    """Put the door in front of every page of ``app``."""
    app.extensions["postmeter places"] = Places()
    app.url_map.converters.update({"account": AccountName, "int": RowNumber})
    app.before_request(_check)
    app.url_defaults(_same_account)


def place(app: Flask, blueprint: Blueprint, where: Place, prefix: str) -> None:
    """Register a blueprint; its place is known before its rules are there, so that none is unchecked."""
    _places(app).known[blueprint.name] = where
    if where.name == ACCOUNT:
        prefix = f"/accounts/<account:name>{prefix}"
    app.register_blueprint(blueprint, url_prefix=prefix or None)


def place_of(app: Flask, blueprint: str) -> Place | None:
    """Where the blueprint of that name was put."""
    return _places(app).known.get(blueprint)


def own_pages(blueprint: Blueprint) -> Blueprint:
    """Of an account's blueprint: its views take no ``name``, they have ``g.account``."""

    @blueprint.url_value_preprocessor
    def drop(_endpoint: str | None, values: dict[str, Any] | None) -> None:
        g.account_name = (values or {}).pop("name", "")

    return blueprint


def needs(right: str) -> Callable[[V], V]:
    """The right that a view needs, instead of its blueprint's."""

    def mark(view: V) -> V:
        view.right = right  # type: ignore[attr-defined]
        return view

    return mark


def visible_accounts(db: Session, user: UserFacts) -> list[AccountLink]:
    """By name: every account for an operator, their own for everybody else."""
    if user.operator:
        return [AccountLink(id_, name, "operator") for id_, name in accounts.all_accounts(db)]
    return [AccountLink(account.id, account.name, account.role) for account in user.accounts]


def account_or_404(db: Session, user: UserFacts, name: str) -> AccountLink:
    """The account of that name, if the visitor may see it."""
    try:
        account = accounts.account_by_name(db, name)
    except UsageError:
        abort(404)
    role = next((own.role for own in user.accounts if own.id == account.id), "operator" if user.operator else "")
    if not role:
        abort(404)
    return AccountLink(account.id, account.name, role)


def where_now() -> Place | None:
    """The place of the page that is asked for; None: files, and what does not exist."""
    known = _places(current_app).known
    return next((known[name] for name in request.blueprints if name in known), None)


def _check() -> ResponseReturnValue | None:
    """Before every view: whether there is a visitor, and whether he may come in."""
    g.note = note
    where = where_now()
    if (where and where.name == OPEN) or request.endpoint in ("static", "bootstrap.static"):
        return None
    if not current_user.is_authenticated:
        if request.method not in ("GET", "HEAD"):
            abort(403)
        return redirect(url_for("login.log_in", next=request.full_path.rstrip("?")))
    if guard.must_have_second_factor(visitor()) and not visitor().second_factor and request.blueprint != SET_UP:
        if request.method not in ("GET", "HEAD"):
            abort(403)
        return redirect(url_for(f"{SET_UP}.show"))
    if where and where.name == OPERATOR and not visitor().operator:
        abort(404)
    return _enter_account(where) if where and where.name == ACCOUNT else None


def _enter_account(where: Place) -> ResponseReturnValue | None:
    """``g.account`` is the account, when the visitor may see it; else 404, and 403 when his role is not enough."""
    name = g.get("account_name") or (request.view_args or {})["name"]
    with panel().store.read() as db:
        account = account_or_404(db, visitor(), name)
    if account.role == "operator" and session.get(VIEWING) != account.id:
        if request.method not in ("GET", "HEAD"):
            abort(404)
        return redirect(url_for("accounts.show", account=account.name))
    g.account = account
    usual = where.reads if request.method in ("GET", "HEAD") else where.changes
    if not account.may(getattr(current_app.view_functions[request.endpoint or ""], "right", usual)):
        abort(403)
    return None


def _same_account(endpoint: str, values: dict[str, Any]) -> None:
    """Links of an account's page lead to the same account, unless they say which."""
    if "name" not in values and "account" in g and current_app.url_map.is_endpoint_expecting(endpoint, "name"):
        values["name"] = g.account.name


def _places(app: Flask) -> Places:
    places: Places = app.extensions["postmeter places"]
    return places
