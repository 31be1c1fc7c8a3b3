"""Builds the panel's Flask application: extensions, security headers, error pages and the modules of each subject."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, current_app, request
from flask.sessions import SecureCookieSessionInterface
from flask_bootstrap import Bootstrap5
from flask_wtf import CSRFProtect
from sqlalchemy.exc import DBAPIError
from werkzeug.exceptions import HTTPException, InternalServerError, ServiceUnavailable
from werkzeug.middleware.proxy_fix import ProxyFix

from postmeter.config import Settings
from postmeter.hooks import Plugins, new_manager
from postmeter.store.engine import Store
from postmeter.store.secrets import Secrets
from postmeter_web import login, overview, pages, show
from postmeter_web.access import AccountName
from postmeter_web.context import Panel

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
_STATIC = {"static", "bootstrap.static"}
_YEAR = 31_536_000  # seconds


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
    app.extensions["postmeter"] = Panel(settings, store, clock)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    CSRFProtect(app)
    Bootstrap5(app)
    app.url_map.converters["account"] = AccountName
    login.init_app(app)
    show.init_app(app)
    app.register_blueprint(overview.blueprint)
    pages.init_app(app, plugins or Plugins(new_manager()))
    app.after_request(_secure)
    app.register_error_handler(Exception, _error_page)
    _version_static_files(app)
    app.wsgi_app = _believe_near_proxy(app.wsgi_app)  # type: ignore[assignment,method-assign]
    return app


def _secure(response: Response) -> Response:
    headers = response.headers
    headers["Content-Security-Policy"] = POLICY
    headers["X-Content-Type-Options"] = "nosniff"
    headers["X-Frame-Options"] = "DENY"
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    if request.is_secure:
        headers["Strict-Transport-Security"] = f"max-age={_YEAR}"
    if request.endpoint not in _STATIC:
        headers["Cache-Control"] = "no-store"
    return response


_SENTENCES = {
    400: "The form was not accepted: it is older than your log-in. Go back, reload the page and send it again.",
    403: "You have to be logged in for this.",
    404: "There is no such page, or it is not yours to see.",
    500: "Something went wrong here. It has been logged; please try again.",
    503: "The database does not answer. Please try again in a moment.",
}


def _error_page(error: Exception) -> tuple[str, int] | HTTPException | Response:
    """A plain page for every error; it needs no database, so that it also tells when that is away."""
    if isinstance(error, HTTPException) and error.code not in _SENTENCES:
        return error
    if not isinstance(error, HTTPException):
        current_app.logger.error("%s %s failed", request.method, request.path, exc_info=error)
        error = ServiceUnavailable() if isinstance(error, DBAPIError) else InternalServerError()
    code = error.code or 500
    template = current_app.jinja_env.get_template("error.html")  # not render_template: that looks up the user
    return template.render(title=error.name, sentence=_SENTENCES[code]), code


def _version_static_files(app: Flask) -> None:
    """Give the address of each static file a mark that changes with the files, so that browsers may keep them."""
    digest = hashlib.sha256(Bootstrap5.bootstrap_version.encode())
    for path in sorted(Path(app.static_folder or "").iterdir()):
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
