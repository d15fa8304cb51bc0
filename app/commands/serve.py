"""`catscope serve`: check the networks, open the port, and serve until a signal ends the process.

Contracts and checksums are verified before the port is opened, so a folder that cannot be served fails at startup with a
one-line error.
"""

import contextlib
import functools
import gc
import logging.config
import signal
import socket
import sys
from typing import TYPE_CHECKING

from app.commands import process_one
from app.errors import CatscopeError
from app.settings import Settings, share_metrics

if TYPE_CHECKING:
    from app.loading import Loading
    from app.server.processes import ParentLink

log = logging.getLogger("catscope")


def run(settings: Settings) -> int:
    """Serve until SIGTERM or Ctrl-C and return the exit status. Raises NetworkError before the port is opened."""
    _check(settings)
    shared = share_metrics() if settings.processes > 1 else ""  # must precede the imports below
    begun = None
    if not shared and settings.engine == "onnx":  # processes that are forked from this one load on their own
        from app.loading import Loading

        begun = Loading(settings)
    _import_fastapi()
    from app import main  # noqa: F401  forked processes then share the modules that it imports
    from app.server import processes, sockets
    from app.telemetry import logs

    logging.config.dictConfig(logs.config(settings.log_level, settings.log_format))
    sockets.raise_file_limit()
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # asks for a reload, but nothing is loaded yet
    try:
        listening = sockets.listening_socket(settings)
    except OSError as error:
        sys.exit(f"error: cannot listen on {settings.host}:{settings.port}: {error.strerror}")
    log.info("listening on http://%s:%d", settings.host, listening.getsockname()[1])
    if shared:
        gc.freeze()
        return processes.Processes(settings, listening, functools.partial(_serve, settings), shared).run()
    return _serve(settings, listening, begun=begun)


def _serve(
    settings: Settings,
    listening: socket.socket,
    link: "ParentLink | None" = None,
    begun: "Loading | None" = None,
) -> int:
    """Serve until a signal stops it and return the exit status. For `link`, see app.server.processes.Processes; for `begun`,
    app.service.Service.
    """
    from app import main
    from app.server import uvicorn_setup

    try:
        app = main.create_app(settings)
        service = app.state.service
        service.begun = begun
        if link:  # the processes share the socket, so connections arrive at once
            service.load()
    except (ValueError, CatscopeError) as error:
        log.critical("%s", error)
        return 1
    server = uvicorn_setup.Server(uvicorn_setup.config(settings, app, service), service, link)
    gc.freeze()
    gc.enable()
    service.stop = lambda: setattr(server, "should_exit", True)
    process_one.leave_signals_to(server)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn has shut down cleanly and raises the signal again
        server.run(sockets=[listening])
    return 1 if service.failure or not server.started else 0


def _import_fastapi() -> None:
    """Import FastAPI, whose many models of OpenAPI documents take a tenth of the start to build. Only `/openapi.json` needs
    them, and those that inherit `defer_build` pydantic builds when they are used. Our own models do not inherit it.
    """
    from pydantic import BaseModel

    BaseModel.model_config["defer_build"] = True
    try:
        import fastapi  # noqa: F401
    finally:
        del BaseModel.model_config["defer_build"]


def _check(settings: Settings) -> None:
    """Verify every network's contract and the file that the engine runs. Raises NetworkError."""
    from app.inference.networks import versions

    catalogue = versions.catalogue(
        settings.networks, lambda contract: contract.verified(f"model.{settings.engine}"), settings.pins
    )
    versions.check_default(settings.network, list(catalogue.networks))
