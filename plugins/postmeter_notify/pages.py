"""The plugin's page in the panel: who is told what, in which language, and whether it arrives."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, flash, g, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from flask_wtf import FlaskForm
from wtforms import SelectField

from postmeter import Core, Page
from postmeter_notify import tables
from postmeter_notify.desk import settings_of, test_mail

NAMES = {"en": "English", "de": "Deutsch"}  # of languages, each by its own
KINDS = {  # of events, in words
    "quota_low": lazy_gettext("fewer mails are left than the account's threshold"),
    "quota_exhausted": lazy_gettext("nothing is left of any block"),
    "quota_overdraft": lazy_gettext("mail has begun to go beyond all blocks"),
    "quota_expiring": lazy_gettext("a block that is not renewed ends in three days"),
    "quota_renewed": lazy_gettext("a block has ended and was renewed"),
    "quota_expired": lazy_gettext("a block has ended and was not renewed"),
    "domain_broken": lazy_gettext("the DKIM record of a domain is gone"),
    "domain_refused": lazy_gettext("a provider does not believe that mail is from a domain"),
    "connection_paused": lazy_gettext("a connection was paused"),
    "notice": lazy_gettext("a plugin has something to say"),
}


class LanguageForm(FlaskForm):  # type: ignore[misc]
    """The language of an account's notices; empty: the usual one."""

    language = SelectField(lazy_gettext("Language"))


def pages(core: Core) -> Sequence[Page]:
    """One for each account."""
    return [Page(N_("Notices"), "account", NoticePages(core).blueprint(), "show")]


def N_(title: str) -> str:
    """Mark a title for translation."""
    return title


class NoticePages:
    """The views."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def blueprint(self) -> Blueprint:
        """Them all."""
        made = Blueprint("notices", __name__, template_folder="templates")
        made.add_url_rule("/", "show", self.show)
        made.add_url_rule("/language", "set_language", self.set_language, methods=["POST"])
        made.add_url_rule("/test", "test", self.test, methods=["POST"])
        return made

    def show(self, name: str) -> ResponseReturnValue:
        """What mails there are, and to whom."""
        with self._core.read() as session:
            language = tables.language_of(session, g.account.id) or ""
        return self._page(self._form(language))

    def set_language(self, name: str) -> ResponseReturnValue:
        """Write them in another language from now on."""
        form = self._form("")
        if not form.validate_on_submit():
            return self._page(form), 400
        with self._core.write() as session:
            tables.set_language(session, g.account.id, form.language.data or None)
            g.note(session, "notices.language", g.account.name, language=form.language.data)
        flash(gettext("The language of the notices is changed."))
        return redirect(url_for(".show"))

    def test(self, name: str) -> ResponseReturnValue:
        """Send every admin a mail that shows that notices arrive."""
        with self._core.write() as session:
            account = self._core.account(session, g.account.id)
            mail = test_mail(self._core, session, account)
            for address in account.admins:
                self._core.send(session, mail, address)
            g.note(session, "notices.test", account.name, to=list(account.admins))
        flash(gettext("A test is on its way to: %(addresses)s", addresses=", ".join(account.admins)))
        return redirect(url_for(".show"))

    def _form(self, language: str) -> LanguageForm:
        usual = gettext("as usual here (%(language)s)", language=NAMES[settings_of(self._core).language])
        form = LanguageForm(data={"language": language})
        form.language.choices = [("", usual), *NAMES.items()]
        return form

    def _page(self, form: LanguageForm) -> str:
        with self._core.read() as session:
            account = self._core.account(session, g.account.id)
        kinds = [KINDS[kind] for kind in settings_of(self._core).events]
        return render_template("notify_notices.html", form=form, account=account, kinds=kinds)
