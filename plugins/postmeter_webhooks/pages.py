"""An account's webhooks in the panel: who is called about what, a test, what was sent, and what is sent again."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence

from flask import Blueprint, abort, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, ngettext
from sqlalchemy.orm import Session

from postmeter import Core, FetchError, Page, UsageError, check_url
from postmeter_webhooks import again, deliveries, endpoints, ping
from postmeter_webhooks.endpoints import BY_HAND, Added, Endpoint
from postmeter_webhooks.forms import EndpointForm, RenewForm, ReplayForm, endpoint_form
from postmeter_webhooks.meanings import MEANINGS, N_
from postmeter_webhooks.schedule import DELIVERED, FAILED, WAITING
from postmeter_webhooks.sending import Sender
from postmeter_webhooks.settings import own

LIST = 50  # deliveries on a page
MOST = 20_000  # events that are looked at while somebody waits for the page
TESTS = 2  # at a time: each keeps a thread of the panel for as long as the endpoint likes
STATES = (DELIVERED, WAITING, FAILED)


def pages(core: Core, sender: Sender | None = None) -> Sequence[Page]:
    """One for each account, for who may manage it; ``sender`` sends the tests."""
    views = Pages(core, sender or Sender(core))
    return [Page(N_("Webhooks"), "account", views.blueprint(), "show", reads="manage", changes="manage")]


class Pages:
    """The views; each sees the endpoints of ``flask.g.account`` only."""

    def __init__(self, core: Core, sender: Sender) -> None:
        self._core = core
        self._sender = sender
        self._settings = own(core)
        self._tests = threading.BoundedSemaphore(TESTS)

    def blueprint(self) -> Blueprint:
        """Them all."""
        made = Blueprint("webhooks", __name__, template_folder="templates")
        made.add_url_rule("/", "show", self.show)
        made.add_url_rule("/add", "add", self.add)
        made.add_url_rule("/add", "enter", self.enter, methods=["POST"])
        made.add_url_rule("/<int:number>/", "one", self.one)
        made.add_url_rule("/<int:number>/replay", "preview", self.preview)
        for verb in (self.test, self.pause, self.enable, self.renew, self.remove, self.replay):
            made.add_url_rule(f"/<int:number>/{verb.__name__}", verb.__name__, verb, methods=["POST"])
        return made

    def show(self, name: str) -> ResponseReturnValue:
        """All endpoints."""
        with self._core.read() as session:
            found = endpoints.every(session, self._core, g.account.id)
            waiting = deliveries.waiting(session, [one.id for one in found])
            names = self._names(session)
        return render_template(
            "webhooks_all.html", endpoints=found, waiting=waiting, names=names, now=self._core.clock()
        )

    def add(self, name: str) -> ResponseReturnValue:
        """The form of a new one."""
        return self._form(self._made())

    def enter(self, name: str) -> ResponseReturnValue:
        """Call another address from now on."""
        form = self._made()
        if not form.validate_on_submit():
            return self._form(form), 400
        try:
            url = check_url(form.url.data.strip(), allow_private=self._settings.allow_private)
            with self._core.write() as session:
                added = self._add(session, url, form)
        except (UsageError, FetchError) as error:
            form.problem = str(error)
            return self._form(form), 400
        return self._secret(added, url)

    def one(self, name: str, number: int) -> ResponseReturnValue:
        """One endpoint, how it fares and what it was sent."""
        state = request.args.get("state", "")
        state = state if state in STATES else ""
        before = request.args.get("before", type=int)
        with self._core.read() as session:
            found = self._found(session, number)
            names = self._names(session)
            waiting = deliveries.waiting(session, [number]).get(number, 0)
            log = deliveries.older(session, number, LIST + 1, before, state)
        page, more = log[:LIST], len(log) > LIST
        return render_template(
            "webhooks_one.html",
            endpoint=found,
            names=names,
            waiting=waiting,
            log=[facts for _, facts in page],
            state=state,
            states=STATES,
            newer=url_for(".one", number=number, state=state or None) if before else "",
            older=url_for(".one", number=number, state=state or None, before=page[-1][0]) if more else "",
            renew=RenewForm(formdata=None, seen=_mark(found)),
            replay=ReplayForm(formdata=None),
            overlap_hours=int(endpoints.OVERLAP / 3600),
            now=self._core.clock(),
        )

    def test(self, name: str, number: int) -> ResponseReturnValue:
        """Send a test now, and say what the endpoint has answered."""
        with self._core.read() as session:
            found = self._found(session, number)
        if not self._tests.acquire(blocking=False):
            return self._back(number, gettext("Other tests are under way. Please try again in a moment."), "problem")
        try:
            sent = ping.send(self._core, found, self._sender)
        finally:
            self._tests.release()
        with self._core.write() as session:
            self._found(session, number)
            ping.keep(session, sent, self._core.clock())
            g.note(session, "webhook.test", found.url, ok=sent.answer.ok)
        answer = sent.answer.text
        if sent.answer.ok:
            return self._back(number, gettext("The test was taken. The answer: %(answer)s", answer=answer))
        return self._back(number, gettext("The test was not taken: %(answer)s", answer=answer), "problem")

    def pause(self, name: str, number: int) -> ResponseReturnValue:
        """Call it no more."""
        with self._core.write() as session:
            found = self._found(session, number, lock=True)
            if endpoints.switch_off(session, number, BY_HAND, self._core.clock()):
                g.note(session, "webhook.pause", found.url)
        return self._back(number, gettext("The endpoint is called no more. What waited for it counts as failed."))

    def enable(self, name: str, number: int) -> ResponseReturnValue:
        """Call it again."""
        with self._core.write() as session:
            found = self._found(session, number, lock=True)
            if found.off:
                endpoints.switch_on(session, number, self._core.clock())
                g.note(session, "webhook.enable", found.url, off_since=found.off_at)
        return self._back(
            number, gettext("The endpoint is called from now on. What it has missed can be sent again below.")
        )

    def renew(self, name: str, number: int) -> ResponseReturnValue:
        """Give it a new secret, which is shown once."""
        with self._core.write() as session:
            found = self._found(session, number, lock=True)
            fresh = RenewForm().seen.data == _mark(found)
            added = endpoints.rotate(session, self._core, number) if fresh else None
            if added:
                g.note(session, "webhook.renew", found.url)
        if added:
            return self._secret(added, found.url, renewed=True)
        text = gettext("The secret was renewed already. If you have not seen the new one, renew it once more.")
        return self._back(number, text, "problem")

    def remove(self, name: str, number: int) -> ResponseReturnValue:
        """Forget it."""
        with self._core.write() as session:
            found = self._found(session, number, lock=True)
            endpoints.remove(session, number)
            g.note(session, "webhook.remove", found.url)
        flash(gettext("The endpoint is removed."))
        return redirect(url_for(".show"))

    def preview(self, name: str, number: int) -> ResponseReturnValue:
        """How much would be sent again."""
        form = ReplayForm(formdata=request.args)
        with self._core.read() as session:
            found = self._found(session, number)
        count = self._count(found, form) if form.validate() else None
        too_many = not form.errors and count is None
        return render_template(
            "webhooks_replay.html", endpoint=found, form=form, count=count, too_many=too_many, begin=form.begin
        )

    def replay(self, name: str, number: int) -> ResponseReturnValue:
        """Have it sent again."""
        form = ReplayForm()
        with self._core.read() as session:
            found = self._found(session, number)
        if found.off or not form.validate() or self._count(found, form) is None:
            return redirect(url_for(".preview", number=number, what=form.what.data, since=request.form.get("since")))
        begin = form.begin
        with self._core.write() as session:
            now = self._core.clock()
            count = deliveries.replay(session, number, now, since=begin, failed=begin is None)
            g.note(session, "webhook.replay", found.url, since=begin, failed=begin is None)
        if begin is not None:
            count += again.catch_up(self._core, found, begin)
        text = ngettext("%(num)d event will be sent again.", "%(num)d events will be sent again.", count)
        return self._back(number, text)

    def _count(self, endpoint: Endpoint, form: ReplayForm) -> int | None:
        """How much would be sent again; None: too much to be counted here."""
        begin = form.begin
        more = 0 if begin is None else again.missed(self._core, endpoint, begin, MOST)
        if more is None:
            return None
        with self._core.read() as session:
            return more + deliveries.replayable(session, endpoint.id, since=begin, failed=begin is None)

    def _add(self, session: Session, url: str, form: EndpointForm) -> Added:
        most, types = self._settings.max_endpoints, form.types.data or ()
        known = endpoints.every(session, self._core, g.account.id)
        if len(known) >= most:
            raise UsageError(gettext("The account has %(num)d endpoints already. Remove one first.", num=most))
        if any((one.url, one.connection_id, set(one.types)) == (url, form.number, set(types)) for one in known):
            raise UsageError(gettext("This address is called about the same already; its secret can be renewed."))
        added = endpoints.add(session, self._core, g.account.id, form.number, url, types, most)
        g.note(session, "webhook.add", url, types=list(types), connection=form.number)
        return added

    def _secret(self, added: Added, url: str, renewed: bool = False) -> str:
        return render_template("webhooks_secret.html", added=added, url=url, renewed=renewed)

    def _made(self) -> EndpointForm:
        with self._core.read() as session:
            return endpoint_form(self._core.connections(session, g.account.id))

    def _form(self, form: EndpointForm) -> str:
        return render_template("webhooks_add.html", form=form, meanings=MEANINGS)

    def _found(self, session: Session, number: int, *, lock: bool = False) -> Endpoint:
        return endpoints.of_account(session, self._core, g.account.id, number, lock=lock) or abort(404)

    def _names(self, session: Session) -> dict[int, str]:
        return {one.id: one.name for one in self._core.connections(session, g.account.id)}

    def _back(self, number: int, text: str, kind: str = "message") -> ResponseReturnValue:
        flash(text, kind)
        return redirect(url_for(".one", number=number))


def _mark(endpoint: Endpoint) -> str:
    """Stands for the endpoint's secret in a form, without telling it."""
    return hashlib.sha256(endpoint.sealed[0]).hexdigest()[:16]
