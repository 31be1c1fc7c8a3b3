"""What the relay finds under the entry point: the panel as a service. Flask is imported only where the panel runs."""

from __future__ import annotations

from postmeter import Service, Settings, hookimpl


@hookimpl
def services(settings: Settings) -> list[Service]:
    """The panel, unless ``web.listen`` is empty."""
    if not settings.web.listen:
        return []
    return [Service(name="panel", address=settings.web.listen, run=run)]


def run(settings: Settings, listening_socket_fd: int | None) -> None:
    """Answer until SIGTERM; blocks."""
    from postmeter_web.serve import serve

    serve(settings, listening_socket_fd)
