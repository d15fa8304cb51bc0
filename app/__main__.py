"""python -m app: read the command line and the environment; check the networks and serve, or do what else was asked for.

The networks' contracts and checksums are verified before the port is opened, so that a folder that cannot be served ends
the start with one line.
"""

import gc
import sys

# Two things that take a fifth of the time to start. Imports make a hundred thousand objects that all stay, and looking
# through them for garbage again and again finds none: run() switches the collector on again. And FastAPI asks of every
# answer's shape whether it is of pydantic 1, for which it would import all of that; it takes "cannot be imported" for no.
gc.disable()
sys.modules["pydantic.v1"] = None  # type: ignore[assignment]

import contextlib  # noqa: E402
import functools  # noqa: E402
import logging.config  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

from app.commands import parser  # noqa: E402
from app.errors import CatscopeError, NetworkError  # noqa: E402
from app.settings import Settings, share_metrics  # noqa: E402

if TYPE_CHECKING:
    import argparse

    from app.server import Line

log = logging.getLogger("catscope")


def run() -> None:
    """Do what the command line asks for; ends the process with its exit status."""
    arguments = parser.parse()
    try:
        settings = Settings.from_environment()
        if arguments.command == parser.SERVE:
            _check(settings)
        else:
            gc.freeze()
            gc.enable()
            sys.exit(_command(arguments, settings))
    except (ValueError, NetworkError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1 if arguments.command == parser.SERVE else 2)
    serve(settings)


def _command(arguments: "argparse.Namespace", settings: Settings) -> int:
    """Do one of the other commands; its exit status."""
    if arguments.command == parser.CLASSIFY:
        from app.commands import classify

        return classify.run(arguments, settings)
    if arguments.command == parser.INSPECT:
        from app.commands import inspect

        return inspect.run(arguments, settings)
    from app.commands import completion

    return completion.run(arguments)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    shared = share_metrics() if settings.processes > 1 else ""  # before what follows is imported
    from app import logs, main, server  # noqa: F401  main: processes then share what it imports

    logging.config.dictConfig(logs.config(settings.log_level, settings.log_format))
    server.many_connections()
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a reload before there is something loaded
    try:
        listening = server.bound(settings)
    except OSError as error:
        sys.exit(f"error: cannot listen on {settings.host}:{settings.port}: {error.strerror}")
    log.info("listening on http://%s:%d", settings.host, listening.getsockname()[1])
    if shared:
        gc.freeze()
        sys.exit(server.Processes(settings, listening, functools.partial(_serve, settings), shared).run())
    sys.exit(_serve(settings, listening))


def _serve(settings: Settings, listening: socket.socket, line: "Line | None" = None) -> int:
    """Serve until a signal ends it; the exit status. See app.server.Processes for `line`."""
    from app import main, server

    try:
        app = main.create_app(settings)
        service = app.state.service
        if line:  # beside others, connections come at once
            service.load()
    except (ValueError, CatscopeError) as error:
        log.critical("%s", error)
        return 1
    serving = server.Server(server.config(settings, app, service), service, line)
    gc.freeze()
    gc.enable()
    service.stop = lambda: setattr(serving, "should_exit", True)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn has ended well, and raises the signal once more
        serving.run(sockets=[listening])
    return 1 if service.failure or not serving.started else 0


def _check(settings: Settings) -> None:
    """Verify every network's contract and the file that the engine runs. Raises NetworkError."""
    from app.inference import versions

    found = versions.good(settings.model_dir, lambda promised: promised.verified(f"model.{settings.engine}"), settings.pins)
    versions.check_default(settings.network, list(found.networks))


if __name__ == "__main__":
    run()
