"""Plugins are loaded with care: what they cannot be is said at once, and they are started before they work."""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

import pytest
from attrs import frozen

from postmeter import hooks
from postmeter.config import Plugins as Section
from postmeter.config import Settings
from postmeter.errors import ConfigError
from postmeter.hooks import Plugins, new_manager
from postmeter.hookspecs import Message, hookimpl
from postmeter.plugin_settings import PluginSettings
from postmeter.setting import setting
from postmeter.store.engine import Store


class Plugin:
    """Answers on_accept."""

    @hookimpl
    def on_accept(self, message: Message) -> None: ...


class Entry:
    """An entry point of this name; loading gives the plugin, or raises it."""

    def __init__(self, name: str, plugin: object) -> None:
        self.name = name
        self._plugin = plugin

    def load(self) -> object:
        if isinstance(self._plugin, BaseException):
            raise self._plugin
        return self._plugin


def load(
    monkeypatch: pytest.MonkeyPatch, enabled: list[str], tables: dict[str, Any] | None = None, **installed: object
) -> Plugins:
    entries = [Entry(name, plugin) for name, plugin in installed.items()]
    monkeypatch.setattr(hooks, "entry_points", lambda group: entries if group == "postmeter" else [])
    return Plugins.load(Settings(plugins=Section(enabled=tuple(enabled), tables=tables or {})))


class Misspelt:
    @hookimpl
    def on_acept(self, message: Message) -> None: ...


class WrongArgument:
    @hookimpl
    def on_accept(self, mail: Message) -> None: ...


def test_enabled_plugins_are_loaded_and_missing_ones_named(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Plugin()
    found = load(monkeypatch, ["one", "two"], one=one, other=Plugin())
    assert [name for name, _ in found.manager.list_name_plugin()] == ["one"]
    assert found.missing == ("two",)


def test_the_panel_needs_not_be_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, ["web"], web=Plugin()).manager.has_plugin("web")
    assert load(monkeypatch, [], web=Plugin()).manager.has_plugin("web")


class Wrapping:
    @hookimpl(wrapper=True)
    def on_accept(self, message: Message) -> Any:
        return (yield)


class Waiting:
    @hookimpl
    async def on_accept(self, message: Message) -> None: ...


class Leaving:
    def __init__(self) -> None:
        sys.exit(0)


@pytest.mark.parametrize(
    "plugin",
    [
        Misspelt(),
        WrongArgument(),
        Wrapping(),
        Waiting(),
        ImportError("no module"),
        SyntaxError("x"),
        SystemExit(0),
        KeyboardInterrupt(),
        Leaving,
    ],
)
def test_a_plugin_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, plugin: object) -> None:
    with pytest.raises(ConfigError, match="'odd'") as caught:
        load(monkeypatch, ["odd"], odd=plugin)
    assert "\n" not in str(caught.value)


def test_hooks_are_called_in_pluggys_order() -> None:
    manager = new_manager()

    def plugin(**options: bool) -> object:
        return SimpleNamespace(on_accept=hookimpl(lambda message: None, **options))

    for name, options in (("first", {"tryfirst": True}), ("a", {}), ("last", {"trylast": True}), ("b", {})):
        manager.register(plugin(**options), name)
    found = Plugins(manager)
    assert [one.plugin_name for one in found.implementing("on_accept")] == ["first", "b", "a", "last"]
    assert not found.implementing("on_sign")


class Counting:
    """A plugin with settings of its own, which fails to start at first."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.told: list[object] = []

    @frozen
    class Settings(PluginSettings):
        """Its own settings."""

        greeting: str = setting("hello", "what it says")

    @hookimpl
    def settings_schema(self) -> type[PluginSettings]:
        return self.Settings

    @hookimpl
    def on_start(self, core: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("not now")
        self.told.append(core.own)

    @hookimpl
    def on_accept(self, message: Message) -> None:
        self.told.append(message)


def attached(monkeypatch: pytest.MonkeyPatch, plugin: Counting, **table: Any) -> Plugins:
    found = load(monkeypatch, ["counting"], {"counting": table}, counting=plugin)
    found.attach(Settings(), MagicMock(spec=Store), cast(Any, None))
    return found


def test_a_plugin_is_started_once_with_its_settings_before_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = Counting()
    found = attached(monkeypatch, plugin, greeting="good day", policy="open")
    (implementation,) = found.implementing("on_accept")
    assert plugin.told == []
    for n in (1, 2):
        found.call(implementation, {"message": n})
    own = found.own("counting")
    assert own == Counting.Settings(policy="open", greeting="good day")
    assert plugin.told == [own, 1, 2]


def test_a_start_that_failed_fails_the_call_and_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = Counting(failures=1)
    found = attached(monkeypatch, plugin)
    (implementation,) = found.implementing("on_accept")
    with pytest.raises(OSError, match="not now"):
        found.call(implementation, {"message": 1})
    found.call(implementation, {"message": 2})
    assert plugin.told == [found.own("counting"), 2]


def test_many_threads_start_a_plugin_once(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = Counting()
    found = attached(monkeypatch, plugin)
    (implementation,) = found.implementing("on_accept")
    threads = [threading.Thread(target=found.call, args=(implementation, {"message": n})) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert plugin.told[0] == found.own("counting")
    assert sorted(cast(Any, plugin.told[1:])) == list(range(20))


@frozen
class Fractions(PluginSettings):
    """Has a kind that no setting can be."""

    share: float = setting(0.5, "of all")


@frozen
class Unknown(PluginSettings):
    """Names a type that does not exist."""

    thing: Nothing = setting("", "what")  # type: ignore[name-defined]  # noqa: F821


@frozen
class Refusing(PluginSettings):
    """Cannot be made."""

    def __attrs_post_init__(self) -> None:
        raise ValueError("boo")


@frozen
class Ending(PluginSettings):
    """Would end the process."""

    def __attrs_post_init__(self) -> None:
        sys.exit(0)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (dict, "is no class of settings"),
        (Fractions, "Fractions.share is <class 'float'>, which no setting can be"),
        (Unknown, "name 'Nothing' is not defined"),
        (Refusing, "ValueError: boo"),
        (Ending, r"SystemExit\(0\)"),
        (ValueError("no"), "ValueError: no"),
        (SystemExit(0), r"SystemExit\(0\)"),
    ],
)
def test_a_schema_that_is_none_is_an_error(monkeypatch: pytest.MonkeyPatch, schema: Any, why: str) -> None:
    class Odd:
        @hookimpl
        def settings_schema(self) -> Any:
            if isinstance(schema, BaseException):
                raise schema
            return schema

    with pytest.raises(ConfigError, match=rf"the plugin 'odd' cannot be used: .*{why}"):
        load(monkeypatch, ["odd"], odd=Odd())


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(0)])
@pytest.mark.parametrize("hook", ["by_connection", "migrations", "services", "commands"])
def test_an_offer_that_cannot_be_had_is_an_error(
    monkeypatch: pytest.MonkeyPatch, hook: str, error: BaseException
) -> None:
    def fail() -> Any:
        raise error

    odd = SimpleNamespace(**{hook: hookimpl(fail)})
    with pytest.raises(ConfigError, match="the plugin 'odd' cannot be used: "):
        offers(load(monkeypatch, ["odd"], odd=odd))


@pytest.mark.parametrize("offer", [7, [7], ["text"]])
@pytest.mark.parametrize("hook", ["migrations", "services", "commands"])
def test_an_offer_that_is_none_is_an_error(monkeypatch: pytest.MonkeyPatch, hook: str, offer: object) -> None:
    odd = SimpleNamespace(**{hook: hookimpl(lambda: offer)})
    with pytest.raises(ConfigError, match="the plugin 'odd' cannot be used: TypeError: "):
        offers(load(monkeypatch, ["odd"], odd=odd))


def offers(plugins: Plugins) -> None:
    """Ask for all that the plugin odd offers."""
    plugins.migrations()
    plugins.services(Settings())
    plugins.commands("odd")


def test_a_class_is_made_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(load(monkeypatch, ["one"], one=Plugin).manager.get_plugin("one"), Plugin)
