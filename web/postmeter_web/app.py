"""Builds the panel's Flask application: extensions, security headers, error pages and the modules of each subject."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, abort, current_app, request
from flask.sessions import SecureCookieSessionInterface
from flask_babel import force_locale, lazy_gettext
from flask_bootstrap import Bootstrap5
from flask_wtf import CSRFProtect
from sqlalchemy.exc import DBAPIError
from werkzeug.exceptions import HTTPException, InternalServerError, ServiceUnavailable
from werkzeug.middleware.proxy_fix import ProxyFix

from postmeter.config import Settings
from postmeter.hooks import Plugins, new_manager
from postmeter.store.engine import Store
from postmeter.store.secrets import Secrets
from postmeter_web import access, home, languages, navigation, pages, show
from postmeter_web.access import ACCOUNT, BILL, MANAGE, MEMBER, OPEN, OPERATOR, PERSON, Place
from postmeter_web.account import (
    connect,
    connections,
    dashboard,
    domains,
    messages,
    quota,
    suppressions,
    team,
)
from postmeter_web.account import (
    settings as account_settings,
)
from postmeter_web.context import Panel
from postmeter_web.operator import accounts, audit, csa, health, providers, queue, requests, sources
from postmeter_web.operator import plugins as plugin_pages
from postmeter_web.person import access_request, join, login, password, profile, second_factor, sessions
from postmeter_web.person import language as choice

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
PERMISSIONS = ", ".join(f"{what}=()" for what in ("camera", "geolocation", "microphone", "payment", "usb"))
_STATIC = {"static", "bootstrap.static"}
_YEAR = 31_536_000  # seconds


ROOMS = (  # where each blueprint is found, and who may come in
    ("", login.blueprint, Place(OPEN)),
    ("", password.blueprint, Place(OPEN)),
    ("", join.blueprint, Place(OPEN)),
    ("", access_request.blueprint, Place(OPEN)),
    ("", choice.blueprint, Place(OPEN)),
    ("", home.blueprint, Place(PERSON)),
    ("/me", profile.blueprint, Place(PERSON)),
    ("/me/second-factor", second_factor.blueprint, Place(PERSON)),
    ("", dashboard.blueprint, Place(ACCOUNT)),
    ("/messages", messages.blueprint, Place(ACCOUNT)),
    ("/connect", connect.blueprint, Place(ACCOUNT, reads=MANAGE)),
    ("/connections", connections.blueprint, Place(ACCOUNT)),
    ("/domains", domains.blueprint, Place(ACCOUNT)),
    ("/suppressions", suppressions.blueprint, Place(ACCOUNT)),
    ("/quota", quota.blueprint, Place(ACCOUNT, reads=MEMBER, changes=BILL)),
    ("/settings", account_settings.blueprint, Place(ACCOUNT)),
    ("/team", team.blueprint, Place(ACCOUNT)),
    ("/operator/accounts", accounts.blueprint, Place(OPERATOR)),
    ("/operator/requests", requests.blueprint, Place(OPERATOR)),
    ("/operator/queue", queue.blueprint, Place(OPERATOR)),
    ("/operator/providers", providers.blueprint, Place(OPERATOR)),
    ("/operator/sources", sources.blueprint, Place(OPERATOR)),
    ("/operator/health", health.blueprint, Place(OPERATOR)),
    ("/operator/plugins", plugin_pages.blueprint, Place(OPERATOR)),
    ("/operator/csa", csa.blueprint, Place(OPERATOR)),
    ("/operator/audit", audit.blueprint, Place(OPERATOR)),
)


class SessionCookie(SecureCookieSessionInterface):
    """The signed session cookie, kept to https where the panel is reached by it."""

    def get_cookie_secure(self, app: Flask) -> bool:
        """Whether the browser may send the cookie over https only."""
        return request.is_secure


def create_app(
    settings: Settings,
    store: Store,
    secrets: Secrets,
    clock: Callable[[], float] = time.time,
    plugins: Plugins | None = None,
) -> Flask:
    """The panel over ``store``, with the pages of ``plugins``; ``clock`` gives seconds since the epoch."""
    plugins = plugins or Plugins(new_manager())
    app = Flask("postmeter_web")
    app.config.from_mapping(
        SECRET_KEY=secrets.derive("panel session"),
        SESSION_COOKIE_NAME="postmeter",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,  # live updates must not keep a session alive for ever
        PERMANENT_SESSION_LIFETIME=timedelta(hours=12),
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session, so that a form left open can still be sent
        MAX_CONTENT_LENGTH=1 << 20,
        SEND_FILE_MAX_AGE_DEFAULT=_YEAR,  # the address of a file changes with its content, see _version
        BOOTSTRAP_SERVE_LOCAL=True,
    )
    app.session_interface = SessionCookie()
    app.extensions["postmeter"] = Panel(settings, store, secrets, plugins, clock)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.before_request(_refuse_nul)
    CSRFProtect(app)
    Bootstrap5(app)
    languages.init_app(app, [Path(__file__).parent, *pages.packages(plugins)])
    for part in (access, sessions, choice, show, navigation):
        part.init_app(app)
    for prefix, blueprint, place in ROOMS:
        access.place(app, blueprint, place, prefix)
    pages.init_app(app, plugins)
    app.after_request(_secure)
    app.register_error_handler(Exception, _error_page)
    _version_static_files(app)
    app.wsgi_app = _believe_near_proxy(app.wsgi_app)  # type: ignore[assignment,method-assign]
    return app


def _refuse_nul() -> None:
    """Nothing has a NUL in its name, nobody can enter one, and PostgreSQL fails with it."""
    entered = (text for values in (request.args, request.form) for _, text in values.items(multi=True))
    if any("\0" in text for text in (request.path, *entered)):
        abort(404)


def _secure(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("Content-Security-Policy", POLICY)  # pictures have a stricter one of their own
    headers["X-Content-Type-Options"] = "nosniff"
    headers["X-Frame-Options"] = "DENY"
    headers["Referrer-Policy"] = "same-origin"
    headers["Permissions-Policy"] = PERMISSIONS
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    if request.is_secure:
        headers["Strict-Transport-Security"] = f"max-age={_YEAR}"
    if request.endpoint not in _STATIC:
        headers["Cache-Control"] = "no-store"
    return response


_SENTENCES = {  # by status: a title, and what to do
    400: (
        lazy_gettext("Not accepted"),
        lazy_gettext("The form is older than your log-in. Go back, reload the page and send it again."),
    ),
    403: (
        lazy_gettext("Not allowed"),
        lazy_gettext("You have to be logged in for this, with a role that allows it. The account's owner gives roles."),
    ),
    404: (lazy_gettext("Not found"), lazy_gettext("There is no such page, or it is not yours to see.")),
    405: (lazy_gettext("Not possible"), lazy_gettext("This address takes no such request. Go back to the page.")),
    413: (lazy_gettext("Too large"), lazy_gettext("What you sent is too large: at most 1 MB. Send it in parts.")),
    429: (
        lazy_gettext("Too many at once"),
        lazy_gettext("Others are taking files just now. Please try again in a minute."),
    ),
    500: (
        lazy_gettext("Something went wrong"),
        lazy_gettext("It has been logged; please try again. If it happens again, tell the operator when it did."),
    ),
    503: (
        lazy_gettext("The database does not answer"),
        lazy_gettext("Please try again in a moment. Mail that was accepted is safe."),
    ),
}


def _error_page(error: Exception) -> tuple[str, int] | HTTPException | Response:
    """A plain page for every error; it needs no database, so that it also tells when that is away."""
    if isinstance(error, HTTPException) and error.code not in _SENTENCES:
        return error
    if not isinstance(error, HTTPException):
        where = request.url_rule if "token" in (request.view_args or {}) else request.path  # a secret of a mail's link
        current_app.logger.error("%s %s failed", request.method, where, exc_info=error)
        error = ServiceUnavailable() if isinstance(error, DBAPIError) else InternalServerError()
    code = error.code or 500
    title, sentence = _SENTENCES[code]
    template = current_app.jinja_env.get_template("error.html")  # not render_template: that looks up the user
    with force_locale(languages.language_of_browser()):
        return template.render(title=title, sentence=sentence, language=languages.language_of_browser), code


def _version_static_files(app: Flask) -> None:
    """Give the address of each static file a mark that changes with the files, so that browsers may keep them."""
    digest = hashlib.sha256(Bootstrap5.bootstrap_version.encode())
    for path in sorted(Path(app.static_folder or "").rglob("*.*")):
        digest.update(path.read_bytes())
    mark = digest.hexdigest()[:10]

    @app.url_defaults
    def add_mark(endpoint: str, values: dict[str, Any]) -> None:
        if endpoint in _STATIC:
            values.setdefault("v", mark)


def _believe_near_proxy(app: WSGIApplication) -> WSGIApplication:
    """Take the client's address and https from a proxy on this machine (X-Forwarded-For, -Proto); from nobody else."""
    behind_proxy = ProxyFix(app, x_for=1, x_proto=1)

    def choose(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        near = environ.get("REMOTE_ADDR") in ("127.0.0.1", "::1")
        return behind_proxy(environ, start_response) if near else app(environ, start_response)

    return choose
