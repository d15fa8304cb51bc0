"""python -m app: read the environment, check the networks, serve.

The networks' contracts and checksums are verified before the port is opened, so that a folder that cannot be served ends
the start with one line.
"""

import gc
import sys

# Two things that take a fifth of the time to start. Imports make a hundred thousand objects that all stay, and looking
# through them for garbage again and again finds none: main() switches the collector on again. And FastAPI asks of every
# answer's shape whether it is of pydantic 1, for which it would import all of that; it takes "cannot be imported" for no.
gc.disable()
sys.modules["pydantic.v1"] = None  # type: ignore[assignment]

import argparse  # noqa: E402
import functools  # noqa: E402

import uvicorn  # noqa: E402

from app import __version__  # noqa: E402
from app.errors import NetworkError  # noqa: E402
from app.protocol import Protocol  # noqa: E402
from app.settings import Settings  # noqa: E402


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    _parser().parse_args()  # there is nothing but --help and --version: settings come from the environment
    try:
        settings = Settings.from_environment()
        _check(settings)
    except (ValueError, NetworkError) as error:
        sys.exit(f"error: {error}")
    from app.main import create_app

    app = create_app(settings)
    config = uvicorn.Config(
        app,
        http=functools.partial(Protocol, settings.max_bytes),  # type: ignore[arg-type]  # it is called and no more
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level,
        log_config=_logging(settings.log_level),
        server_header=False,
        timeout_graceful_shutdown=30,
    )
    server = uvicorn.Server(config)
    gc.freeze()
    gc.enable()
    app.state.service.stop = lambda: setattr(server, "should_exit", True)
    server.run()
    if app.state.service.failure or not server.started:
        sys.exit(1)


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
    from app.service import check_default

    contracts = contract.load_all(settings.model_dir)
    for found in contracts:
        found.verified(f"model.{settings.engine}")
    check_default(settings, [found.network for found in contracts])


def _logging(level: str) -> dict[str, object]:
    """Uvicorn's logging, with our own lines in the same form."""
    config: dict[str, object] = {**uvicorn.config.LOGGING_CONFIG}
    config["loggers"] = {
        **uvicorn.config.LOGGING_CONFIG["loggers"],
        "catscope": {"handlers": ["default"], "level": level.upper(), "propagate": False},
        "python_multipart": {"level": "ERROR"},  # it warns of every broken form, which the client is told anyway
    }
    return config


if __name__ == "__main__":
    main()
