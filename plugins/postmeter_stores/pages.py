"""An account's shops in the panel: which are connected, whether they can be written to, and what was written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from flask import Blueprint, Response, abort, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from sqlalchemy.orm import Session

from postmeter import ConnectionFacts, Core, Page, UsageError, fetch
from postmeter_stores import desk, downloads, facts, queue
from postmeter_stores.forms import ShopForm, shop_form
from postmeter_stores.kinds import KINDS, N_
from postmeter_stores.queue import BY_HAND
from postmeter_stores.tables import ShopRow
from postmeter_stores.web import clean_base

LIST = 50  # notes on a page
CHECKS = 2  # at a time: each keeps a thread of the panel for as long as the shop likes


def pages(core: Core, fetch: Callable[..., Any] = fetch) -> Sequence[Page]:
    """One for each account, for who may manage it; ``fetch`` asks the shops."""
    views = Pages(core, fetch)
    return [Page(N_("Stores"), "account", views.blueprint(), "show", reads="manage", changes="manage")]


class Pages:
    """The views; each sees the shops of ``flask.g.account`` only."""

    def __init__(self, core: Core, fetch: Callable[..., Any]) -> None:
        self._core = core
        self._fetch = fetch
        self._checks = threading.BoundedSemaphore(CHECKS)

    def blueprint(self) -> Blueprint:
        """Them all."""
        made = Blueprint("stores", __name__, template_folder="templates")
        made.add_url_rule("/", "show", self.show)
        made.add_url_rule("/files/<kind>.zip", "files", self.files)
        made.add_url_rule("/<int:connection>/", "one", self.one)
        made.add_url_rule("/<int:connection>/connect/<kind>", "connect", self.connect)
        made.add_url_rule("/<int:connection>/connect/<kind>", "enter", self.enter, methods=["POST"])
        for verb in (self.check, self.pause, self.resume, self.remove):
            made.add_url_rule(f"/<int:connection>/{verb.__name__}", verb.__name__, verb, methods=["POST"])
        return made

    def show(self, name: str) -> ResponseReturnValue:
        """All connections, with their shops."""
        now = self._core.clock()
        with self._core.read() as session:
            connections = self._core.connections(session, g.account.id)
            shops = {shop.connection: shop for shop in facts.shops(self._core, session, g.account.name, now)}
        chosen = request.args.get("connection", type=int), request.args.get("kind", "")
        if chosen[1] in KINDS and any(one.id == chosen[0] for one in connections):
            return redirect(url_for(".connect", connection=chosen[0], kind=chosen[1]))
        return render_template(
            "stores_all.html", connections=connections, shops=shops, kinds=KINDS, files=downloads.kinds(), now=now
        )

    def one(self, name: str, connection: int) -> ResponseReturnValue:
        """One shop, how it is and what was written."""
        before = request.args.get("before", type=int)
        with self._core.read() as session:
            found, shop = self._found(session, connection)
            notes = queue.history(session, connection, LIST + 1, before)
        page, more = notes[:LIST], len(notes) > LIST
        return render_template(
            "stores_one.html",
            connection=found,
            shop=shop,
            kind=KINDS[shop.kind],
            by_hand=shop.paused == BY_HAND,
            notes=page,
            newer=url_for(".one", connection=connection) if before else "",
            older=url_for(".one", connection=connection, before=page[-1].id) if more else "",
            now=self._core.clock(),
        )

    def connect(self, name: str, connection: int, kind: str) -> ResponseReturnValue:
        """The form of a shop that is new, or is changed."""
        found, shop = self._place(connection, kind)
        return self._form(found, kind, shop, _form_of(kind, shop))

    def enter(self, name: str, connection: int, kind: str) -> ResponseReturnValue:
        """Connect it."""
        found, shop = self._place(connection, kind)
        form = _form_of(kind, shop)
        if not form.validate_on_submit():
            return self._form(found, kind, shop, form), 400
        try:
            self._connect(found, kind, shop, form)
        except UsageError as error:
            form.problem = str(error)
            return self._form(found, kind, shop, form), 400
        flash(gettext("The shop is connected. Check now whether it can be written to."))
        return redirect(url_for(".one", connection=connection))

    def check(self, name: str, connection: int) -> ResponseReturnValue:
        """Log in to the shop, and say what is wrong; when nothing is, what waits is written."""
        with self._core.read() as session:
            _, shop = self._found(session, connection)
        if not self._checks.acquire(blocking=False):
            return self._back(connection, gettext("Other shops are being asked. Please try again in a moment."), True)
        try:
            trouble = desk.trouble(self._core, shop, self._fetch)
        finally:
            self._checks.release()
        with self._core.write() as session:
            _, same = self._found(session, connection)
            if not trouble and same.paused != BY_HAND:
                queue.resume(session, connection, self._core.clock())
            g.note(session, "store.check", shop.url, ok=not trouble)
        if trouble:
            return self._back(connection, gettext("It cannot be written to. %(trouble)s", trouble=trouble), True)
        return self._back(connection, gettext("The shop takes the log-in, and notes may be written."))

    def pause(self, name: str, connection: int) -> ResponseReturnValue:
        """Write nothing until it goes on."""
        with self._core.write() as session:
            _, shop = self._found(session, connection)
            queue.pause(session, connection)
            g.note(session, "store.pause", shop.url)
        return self._back(connection, gettext("Nothing is written until you let it go on; notes wait for a while."))

    def resume(self, name: str, connection: int) -> ResponseReturnValue:
        """Go on."""
        with self._core.write() as session:
            _, shop = self._found(session, connection)
            queue.resume(session, connection, self._core.clock())
            g.note(session, "store.resume", shop.url)
        return self._back(connection, gettext("What waits is written now."))

    def remove(self, name: str, connection: int) -> ResponseReturnValue:
        """Forget the shop."""
        with self._core.write() as session:
            _, shop = self._found(session, connection)
            facts.remove(session, connection)
            self._core.follow(session, connection, False)
            g.note(session, "store.remove", shop.url)
        flash(gettext("The shop and its credentials are forgotten."))
        return redirect(url_for(".show"))

    def files(self, name: str, kind: str) -> ResponseReturnValue:
        """What names the order in the shop's mails."""
        if kind not in downloads.kinds():
            abort(404)
        headers = {"Content-Disposition": f"attachment; filename=postmeter-{kind}.zip"}
        return Response(downloads.archive(kind), mimetype="application/zip", headers=headers)

    def _connect(self, connection: ConnectionFacts, kind: str, shop: ShopRow | None, form: ShopForm) -> None:
        base = clean_base(form.url.data, desk.own(self._core))
        if form.lacking:
            raise UsageError(gettext("Please enter these as well: %(names)s", names=", ".join(form.lacking)))
        sealed = desk.seal(self._core, kind, form.given) if form.given or shop is None else shop.credentials
        if (
            shop is not None and not form.given and base != shop.url
        ):  # nobody sends them where they were not meant to go
            raise UsageError(gettext("For another address, please enter the credentials once more."))
        wishes = {"pattern": form.pattern.data or "", "deliveries": form.deliveries.data}
        with self._core.write() as session:
            if all(one.id != connection.id for one in self._core.connections(session, g.account.id)):
                abort(404)
            desk.connect(session, self._core, connection, kind, base, sealed, **wishes)
            g.note(session, "store.connect", base, connection=connection.name, kind=kind, **wishes)

    def _place(self, connection: int, kind: str) -> tuple[ConnectionFacts, ShopRow | None]:
        """The account's connection, with its shop if that is of this kind."""
        with self._core.read() as session:
            found = next((one for one in self._core.connections(session, g.account.id) if one.id == connection), None)
            shop = session.get(ShopRow, connection) if found else None
        if found is None or kind not in KINDS:
            abort(404)
        return found, shop if shop and shop.kind == kind else None

    def _form(self, connection: ConnectionFacts, kind: str, shop: ShopRow | None, form: ShopForm) -> str:
        return render_template(
            "stores_connect.html", connection=connection, kind=KINDS[kind], kind_name=kind, shop=shop, form=form
        )

    def _found(self, session: Session, connection: int) -> tuple[ConnectionFacts, ShopRow]:
        return facts.shop_of_account(self._core, session, g.account.id, connection) or abort(404)

    def _back(self, connection: int, text: str, problem: bool = False) -> ResponseReturnValue:
        flash(text, "problem" if problem else "message")
        return redirect(url_for(".one", connection=connection))


def _form_of(kind: str, shop: ShopRow | None) -> ShopForm:
    known = {"url": shop.url, "pattern": shop.pattern, "deliveries": shop.deliveries} if shop else None
    return shop_form(KINDS[kind], known)
