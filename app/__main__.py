"""python -m app: read the environment, check the networks, serve.

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

import argparse  # noqa: E402
import contextlib  # noqa: E402
import functools  # noqa: E402
import logging.config  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

from app import __version__  # noqa: E402
from app.errors import CatscopeError, NetworkError  # noqa: E402
from app.settings import Settings, share_metrics  # noqa: E402

if TYPE_CHECKING:
    from app.server import Line

log = logging.getLogger("catscope")


def run() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    _parser().parse_args()  # there is nothing but --help and --version: settings come from the environment
    try:
        settings = Settings.from_environment()
        _check(settings)
    except (ValueError, NetworkError) as error:
        sys.exit(f"error: {error}")
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


def _parser() -> argparse.ArgumentParser:
    rows = [f"  {name:22} {says} (default: {default or 'none'})" for name, default, says in Settings.table()]
    parser = argparse.ArgumentParser(
        prog="python -m app",
        description="Serve Catscope: POST /predict says whether there is a cat in a photo, and shows how it knows.",
        epilog="settings, by environment variable:\n" + "\n".join(rows),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"catscope {__version__}")
    return parser


def _check(settings: Settings) -> None:
    """Verify every network's contract and the file that the engine runs. Raises NetworkError."""
    from app.inference import contract

    contracts = contract.load_all(settings.model_dir)
    for found in contracts:
        found.verified(f"model.{settings.engine}")
    contract.check_default(settings.network, [found.network for found in contracts])


if __name__ == "__main__":
    run()
