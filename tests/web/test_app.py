"""What every answer of the panel has in common."""

from __future__ import annotations

import sqlite3

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from postmeter.store import quota
from postmeter_web.app import POLICY
from support.panel import OWNER, Browser, House


@pytest.mark.parametrize("path", ["/login", "/accounts/shop/", "/accounts/shop/live", "/nowhere", "/static/live.js"])
def test_every_answer_carries_the_security_headers(owner: Browser, path: str) -> None:
    headers = owner.get(path).headers
    assert headers["Content-Security-Policy"] == POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert "Strict-Transport-Security" not in headers


def test_pages_use_nothing_that_the_policy_forbids(owner: Browser, house: House) -> None:
    house.connection("shop", "Web shop")
    house.count("shop", arrived=3, delivered=2)
    page = owner.get("/accounts/shop/").text
    assert " style=" not in page
    assert "<style" not in page
    assert " onclick=" not in page
    assert "<script>" not in page
    assert "https://" not in page


@pytest.mark.parametrize("path", ["messages/?subject=a%00b", "messages/?subject=x&subject=%00", "domains/a%00b/"])
def test_a_nul_finds_nothing_whatever_the_database(owner: Browser, path: str) -> None:
    assert owner.get(f"/accounts/shop/{path}").status_code == 404
    assert owner.client.post("/login", data={"email": "a\0b"}).status_code == 404


def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites(browser: Browser) -> None:
    cookie = browser.get("/login").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie


def test_behind_a_proxy_with_https_the_cookie_is_secure(browser: Browser) -> None:
    headers = browser.get("/login", **{"X-Forwarded-Proto": "https"}).headers
    assert "Secure" in headers["Set-Cookie"]
    assert headers["Strict-Transport-Security"] == "max-age=31536000"


def test_a_far_client_cannot_pretend_to_be_a_proxy(app: Flask) -> None:
    client = app.test_client()
    answer = client.get(
        "/login", headers={"X-Forwarded-Proto": "https"}, environ_overrides={"REMOTE_ADDR": "192.0.2.1"}
    )
    assert "Secure" not in answer.headers["Set-Cookie"]


def test_static_files_are_kept_and_pages_are_not(owner: Browser) -> None:
    assert owner.get("/accounts/shop/").headers["Cache-Control"] == "no-store"
    for name in ("live.js", "theme.js", "postmeter.css", "postmeter.svg"):
        answer = owner.get(f"/static/{name}")
        assert answer.status_code == 200
        assert "max-age=31536000" in answer.headers["Cache-Control"]
    assert "postmeter.css?v=" in owner.get("/login").text or "live.js?v=" in owner.get("/accounts/shop/").text


def test_the_style_sheet_comes_from_here(browser: Browser) -> None:
    assert browser.get("/bootstrap/static/css/bootstrap.min.css").status_code == 200


def test_a_request_that_is_too_large_is_refused(browser: Browser) -> None:
    assert browser.client.post("/login", data={"email": "x" * (1 << 20)}).status_code == 413


def test_a_lost_database_is_told_without_asking_it(
    owner: Browser, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def lost(*_: object) -> None:
        raise OperationalError("SELECT secret", {}, sqlite3.OperationalError("disk I/O error"))

    monkeypatch.setattr(quota, "quota_of", lost)
    monkeypatch.setattr("postmeter.store.accounts.user_facts", lost)
    answer = owner.get("/accounts/shop/")
    assert answer.status_code == 503
    assert "The database does not answer" in answer.text
    assert "secret" not in answer.text
    assert "GET /accounts/shop/ failed" in caplog.text


def test_a_defect_is_logged_and_not_shown(
    owner: Browser, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(quota, "quota_of", lambda *_: 1 // 0)
    answer = owner.get("/accounts/shop/")
    assert answer.status_code == 500
    assert "ZeroDivisionError" not in answer.text
    assert "ZeroDivisionError" in caplog.text


def test_the_panel_says_nothing_of_what_people_type(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    browser.log_in(OWNER, "my secret guess")
    assert "my secret guess" not in caplog.text
