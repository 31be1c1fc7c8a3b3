"""`postmeter user`: the people who may log in to the panel."""

from __future__ import annotations

import time

import click

from postmeter.commands.common import Relay, pass_relay
from postmeter.console import json_option, pairs, show
from postmeter.errors import UsageError
from postmeter.store import logins, second_factors
from postmeter.store.accounts import ROLES, account_by_name, add_user, clean_email, known_user, set_password, set_role
from postmeter.store.secrets import NewPassword

SHORTEST_PASSWORD = 12  # characters


def register(group: click.Group) -> None:
    """Add the commands."""
    group.add_command(user)


@click.group()
def user() -> None:
    """The people who may log in to the panel."""


@user.command()
@click.argument("email")
@click.option("--operator", is_flag=True, help="May see and do everything.")
@click.option("--account", metavar="NAME", help="May see this account.")
@click.option("--role", type=click.Choice(ROLES), default="viewer", show_default=True, help="As what, in the account.")
@json_option
@pass_relay
def add(relay: Relay, email: str, operator: bool, account: str | None, role: str, as_json: bool) -> None:
    """Create a login and print its initial password."""
    if not (operator or account):
        raise UsageError("say what the user may see: --operator or --account NAME")
    password = NewPassword.generate()
    with relay.store.write() as session:
        add_user(session, email, operator, password, time.time())
        if account:
            set_role(session, account_by_name(session, account).id, email, role, time.time())
    _show(as_json, email, password)


@user.command(name="password")
@click.argument("email")
@click.option("--ask", is_flag=True, help="Ask for the new password instead of making one.")
@json_option
@pass_relay
def change(relay: Relay, email: str, ask: bool, as_json: bool) -> None:
    """Give a user a new password and end the user's sessions in the panel."""
    password = NewPassword.of(_ask()) if ask else NewPassword.generate()
    with relay.store.write() as session:
        set_password(session, email, password)
    _show(as_json, email, password)


@user.command(name="logout")
@click.argument("email")
@json_option
@pass_relay
def log_out(relay: Relay, email: str, as_json: bool) -> None:
    """End a user's sessions in the panel."""
    with relay.store.write() as session:
        known = known_user(session, email)
        logins.end_all(session, known.id)
    show(as_json, {"user": known.email}, f"{known.email} is logged out everywhere")


@user.command(name="reset-second-factor")
@click.argument("email")
@json_option
@pass_relay
def reset_second_factor(relay: Relay, email: str, as_json: bool) -> None:
    """Ask a user who has lost phone and recovery codes for the password only; ends the user's sessions."""
    with relay.store.write() as session:
        known = known_user(session, email)
        second_factors.turn_off(session, known.id)
        logins.end_all(session, known.id)
    show(
        as_json,
        {"user": known.email},
        f"{known.email} logs in with the password only",
    )


def _ask() -> str:
    text: str = click.prompt("New password", hide_input=True, confirmation_prompt=True, err=True)
    if len(text) < SHORTEST_PASSWORD:
        raise UsageError(f"a password has at least {SHORTEST_PASSWORD} characters")
    return text


def _show(as_json: bool, email: str, password: NewPassword) -> None:
    data = {"user": clean_email(email), "password": password.plain}
    show(as_json, data, pairs([("User", data["user"]), ("Password", f"{password.plain} (shown only now)")]))
