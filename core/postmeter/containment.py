"""What is a plugin's, called so that the worst it can do is to raise an Exception."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any

from postmeter.errors import ConfigError

log = logging.getLogger(__name__)

MAX_SAID = 500  # characters


def contained(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call what is a plugin's; RuntimeError in place of SystemExit and the like, which are not its to raise."""
    try:
        return function(*arguments)
    except Exception:
        raise
    except BaseException as error:
        raise RuntimeError(f"the plugin raised {error!r}") from error


def usable(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call what the plugin ``name`` has to be able to do before it can be used; ConfigError names it if it is not.

    A ConfigError of the plugin's own is raised as it is: it says which setting is wrong.
    """
    try:
        return contained(function, *arguments)
    except ConfigError:
        raise
    except Exception as error:
        log.debug("plugin %s cannot be used", name, exc_info=error)
        raise ConfigError(f"plugins.enabled: the plugin {name!r} cannot be used: {said(error)}") from error


def said(error: BaseException) -> str:
    """What an exception is and says, in one line."""
    return " ".join("".join(traceback.format_exception_only(error)).split())[:MAX_SAID]
