"""The operator's plugins: how each fares, its dead letters and replays, and settings that count from the next start."""

from __future__ import annotations

import html
import re
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import evolve, frozen

from postmeter import ConfigError, Event, PluginSettings, hookimpl, hooks, setting
from postmeter.config import Plugins as Section
from postmeter.config import Settings
from postmeter.hooks import Plugins
from postmeter.store import cursors, events, parked
from postmeter.store.chosen import choose, chosen
from postmeter.store.plugin_tables import PluginSetting, Replay
from postmeter.store.tables import Event as EventRow
from postmeter_web.app import create_app
from support.panel import NOW, OPERATOR, OWNER, Browser, House
from support.postage import rows

ALL, ONE, SETTINGS = "/operator/plugins/", "/operator/plugins/greeter/", "/operator/plugins/greeter/settings"
HOSTILE = "<script>alert(1)</script>"


@frozen
class OwnSettings(PluginSettings):
    """All kinds of settings, with names that a form has as well."""

    data: str = setting("hello", "what it says")
    times: int = setting(1, "how often", least=1, most=9)
    keys: tuple[str, ...] = setting(("a",), "to whom")
    names: dict[str, str] = setting({}, "who is who")
    loud: bool = setting(False, "whether it shouts")
    secret: str = setting("", "its password", secret=True)

    def __attrs_post_init__(self) -> None:
        if self.loud and self.data == "hush":
            raise ConfigError("plugins.greeter.data: it cannot shout that")


class Greeter:
    """Is told bounces."""

    @hookimpl
    def settings_schema(self) -> type[PluginSettings]:
        return OwnSettings

    @hookimpl
    def on_bounce(self, event: Event) -> None: ...


class Hall:
    """The panel with the plugin, which is as in a relay that is started anew with each ``visit``."""

    def __init__(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        self.house = house
        self.section = Section(
            enabled=("greeter", "gone"),
            tables={"greeter": {"data": "from the file", "times": 2}},
            texts={"greeter_names": "x=y"},
        )
        installed = {
            name: SimpleNamespace(name=name, dist=SimpleNamespace(version="1.2"), load=Greeter)
            for name in ("greeter", "spare")
        }
        monkeypatch.setattr(hooks, "installed", lambda: installed)
        with house.store.write() as session:
            cursors.begin(session, "greeter")

    def load(self) -> Plugins:
        """The plugins of a new process."""
        settings: Settings = evolve(self.house.settings, plugins=self.section)
        loaded = Plugins.load(settings)
        loaded.attach(settings, self.house.store, self.house.secrets, lambda: self.house.now)
        return loaded

    @property
    def own(self) -> OwnSettings:
        """The plugin's settings in a new process."""
        own = self.load().own("greeter")
        assert isinstance(own, OwnSettings)
        return own

    def visit(self, email: str = OPERATOR) -> Browser:
        """Somebody who is logged in to a panel that has just been started."""
        house = self.house
        browser = Browser(create_app(house.settings, house.store, house.secrets, lambda: house.now, self.load()))
        assert browser.log_in(email).status_code == 302
        return browser

    def bounce(self) -> int:
        """A bounce; the event's number."""
        with self.house.store.write() as session:
            events.record(session, [events.about_account(self.house.ids["shop"], "bounced", NOW, {})])
        return int(rows(self.house.store, EventRow)[-1].id)

    def bury(self) -> int:
        """A dead letter; the event's number."""
        number = self.bounce()
        with self.house.store.write() as session:
            parked.bury(session, "greeter", number, HOSTILE, NOW)
        return number


@pytest.fixture
def hall(house: House, monkeypatch: pytest.MonkeyPatch) -> Hall:
    """greeter is enabled, gone is enabled but not installed, spare is installed but not enabled."""
    return Hall(house, monkeypatch)


def changes(house: House) -> list[tuple[str, str, dict[str, Any]]]:
    return [(one.action, one.subject, dict(one.facts)) for one in house.changes()]


def words(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def full(**changed: str) -> dict[str, str]:
    """The form as it is shown at first."""
    shown = {"policy": "tempfail", "time_limit": "2", "data": "from the file", "times": "2", "keys": "a"}
    return {f"set_{key}": value for key, value in {**shown, **changed}.items()}


def test_all_plugins_are_listed_with_what_is_wrong(hall: Hall) -> None:
    hall.bury()
    said = words(hall.visit().get(ALL).text)
    assert "greeter 1.2 dead letters 1 1" in said
    assert "gone not installed – – It is enabled in the settings but not installed." in said
    assert "spare 1.2 not enabled – – It is installed." in said


def test_only_an_operator_sees_them(hall: Hall) -> None:
    owner = hall.visit(OWNER)
    for path in (ALL, ONE, SETTINGS, f"{ONE}replay"):
        assert owner.get(path).status_code == 404
    operator = hall.visit()
    for name in ("gone", "spare", "nothing"):
        assert operator.get(f"{ALL}{name}/").status_code == 404
        assert operator.post(f"{ALL}{name}/dead", "/me/").status_code == 404


def test_settings_are_shown_with_where_they_come_from_and_secrets_are_not(hall: Hall) -> None:
    hall.section = evolve(hall.section, tables={"greeter": {"secret": "geheim-1", "times": 2}})
    page = hall.visit().get(ONE).text
    said = words(page)
    assert "times how often 2 default: 1 file" in said
    assert "names who is who x = y default: none environment" in said
    assert "data what it says hello default" in said
    assert "secret its password secret file" in said
    assert "geheim-1" not in page + hall.visit().get(SETTINGS).text


def test_what_is_changed_counts_from_the_next_start_before_the_file(hall: Hall, house: House) -> None:
    operator = hall.visit()
    operator.post(SETTINGS, SETTINGS, **full(data="from the panel", keys="a\nb", loud="y", secret="geheim-1"))
    assert "data what it says from the panel default: hello from the next start on panel" in words(
        operator.get(ONE).text
    )
    own = hall.own
    assert (own.data, own.times, own.keys, own.loud, own.secret) == ("from the panel", 2, ("a", "b"), True, "geheim-1")
    assert own.names == {"x": "y"}
    assert "from the next start on" not in hall.visit().get(ONE).text
    ((action, subject, facts),) = changes(house)
    assert (action, subject, facts["changed"]) == ("plugin.settings", "greeter", ["data", "keys", "loud", "secret"])
    assert "geheim-1" not in str(facts)
    assert all(b"geheim" not in (row.sealed or b"") + row.value.encode() for row in rows(house.store, PluginSetting))


def test_only_what_differs_is_kept_and_a_secret_that_is_left_out_stays(hall: Hall, house: House) -> None:
    hall.visit().post(SETTINGS, SETTINGS, **full(secret="geheim-1"))
    hall.visit().post(SETTINGS, SETTINGS, **full(times="3", secret=""))
    with house.store.read() as session:
        assert chosen(session, house.secrets) == {"greeter": {"times": 3, "secret": "geheim-1"}}
    hall.visit().post(SETTINGS, SETTINGS, **full(times="3"))
    assert [action for action, *_ in changes(house)] == ["plugin.settings"] * 2


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"times": "10"}, "Number must be between 1 and 9."),
        ({"times": "many"}, "Not a valid integer value."),
        ({"policy": "never"}, "Not a valid choice."),
        ({"data": "hush", "loud": "y"}, "plugins.greeter.data: it cannot shout that"),
    ],
)
def test_what_the_plugin_could_not_start_with_is_refused(
    hall: Hall, house: House, fields: dict[str, str], said: str
) -> None:
    answer = hall.visit().post(SETTINGS, SETTINGS, **full(**fields))
    assert answer.status_code == 400
    assert said in answer.text
    assert changes(house) == []


def test_the_environment_counts_before_the_panel(hall: Hall) -> None:
    assert 'name="set_names"' not in hall.visit().get(SETTINGS).text
    hall.visit().post(SETTINGS, SETTINGS, **full(times="3", names="z = z"))
    hall.section = evolve(hall.section, texts={"greeter_times": "4", "greeter_names": "x=y"})
    assert (hall.own.times, hall.own.names) == (4, {"x": "y"})


def test_the_files_value_counts_again_when_the_panels_is_taken_back(hall: Hall, house: House) -> None:
    hall.visit().post(SETTINGS, SETTINGS, **full(times="3"))
    operator = hall.visit()
    assert operator.post(f"{SETTINGS}/times/back", ONE).headers["Location"] == ONE
    assert hall.own.times == 2
    assert operator.post(f"{SETTINGS}/times/back", ONE).status_code == 404
    assert changes(house)[0] == ("plugin.settings_back", "greeter", {"key": "times"})


def test_what_a_new_version_cannot_use_is_passed_over_and_said(
    hall: Hall, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    with house.store.write() as session:
        choose(session, house.secrets, "greeter", {"times": 99, "data": "from the panel"}, (), NOW)
    assert (hall.own.times, hall.own.data) == (2, "from the file")
    assert "what the panel has set for the plugin greeter is passed over: plugins.greeter.times" in caplog.text
    assert "plugins.greeter.times must be at most 9" in hall.visit().get(ONE).text


def test_what_the_panel_has_set_for_what_is_gone_does_not_matter(hall: Hall, house: House) -> None:
    with house.store.write() as session:
        choose(session, house.secrets, "greeter", {"unknown": 1, "times": 5}, (), NOW)
        choose(session, house.secrets, "removed", {"x": 1}, (), NOW)
    assert hall.own.times == 5
    assert hall.visit().get(ONE).status_code == 200


def test_dead_letters_are_told_again_one_by_one_or_all(hall: Hall, house: House) -> None:
    first, *_ = [hall.bury() for _ in range(3)]
    operator = hall.visit()
    page = operator.get(ONE).text
    assert HOSTILE in words(page)
    assert HOSTILE not in page
    operator.post(f"{ONE}dead", ONE, event=str(first))
    assert "1 event is told again." in operator.get(ONE).text
    operator.post(f"{ONE}dead", ONE)
    assert "2 events are told again." in operator.get(ONE).text
    assert "It has taken everything that it was told." in operator.get(ONE).text
    assert [facts["number"] for _, _, facts in changes(house)] == [2, 1]


def test_a_replay_is_counted_before_it_is_wished(hall: Hall, house: House) -> None:
    hall.bounce()
    with house.store.write() as session:
        before = cursors.position(session, "greeter")
        assert before
        cursors.advance(session, "greeter", before, events.newest(session))
    operator, page = hall.visit(), f"{ONE}replay"
    assert operator.get(f"{page}?since=yesterday").text.count('role="alert"') == 1
    assert "There is no event there that it was told." in operator.get(f"{page}?since=2030-01-01T00:00").text
    assert "1 event will be told again" in operator.get(f"{page}?until=2030-01-01T00:00").text
    operator.post(page, ONE, since="2030-01-01T00:00")
    assert rows(house.store, Replay) == []
    operator.post(page, ONE, until="2030-01-01T00:00")
    assert [row.plugin for row in rows(house.store, Replay)] == ["greeter"]
    assert changes(house)[0] == ("plugin.replay", "greeter", {"since": 0.0, "until": 1893456000.0, "number": 1})


def test_the_pages_are_complete_in_german(hall: Hall) -> None:
    hall.bury()
    page = words(hall.visit().get(ONE, **{"Accept-Language": "de"}).text)
    assert "Tote Briefe" in page
    assert "bis Ereignis 2; 1 stehen aus, 0 s zurück" in page
