"""python -m app: reads the command line and the environment, runs one command, and exits with its status."""

import gc
import sys

# These two lines save a fifth of the startup time. Imports allocate a hundred thousand objects that all survive, and the
# garbage collector would scan them repeatedly in vain; each command enables it again. FastAPI checks whether each response
# model is a pydantic v1 model, for which it would import all of pydantic.v1; if that import fails, it assumes not.
gc.disable()
sys.modules["pydantic.v1"] = None  # type: ignore[assignment]

from typing import TYPE_CHECKING  # noqa: E402

from app.commands import parser, process_one, streams  # noqa: E402
from app.errors import NetworkError  # noqa: E402
from app.settings import Settings  # noqa: E402

if TYPE_CHECKING:
    import argparse


def run() -> None:
    """Run the command named on the command line and exit with its status; without a traceback, whatever the files are."""
    streams.reopen_closed()
    failed = 2
    try:
        arguments = parser.parse()
        if arguments.command == parser.SERVE:
            failed = 1
            process_one.end_at_signals()
        status: object = _command(arguments, Settings.from_environment())
    except SystemExit as ending:
        status = ending.code
    except BrokenPipeError:
        status = streams.BROKEN_PIPE
    except KeyboardInterrupt:
        status = streams.INTERRUPTED
    except OSError as error:
        streams.say(f"error: {streams.reason(error)}")
        status = failed
    except (ValueError, NetworkError) as error:
        streams.say(f"error: {error}")
        status = failed
    streams.end(status)


def _command(arguments: "argparse.Namespace", settings: Settings) -> int:
    """Run one command and return its exit status. Each imports only what it needs."""
    if settings.require_signed == "true" and arguments.command != parser.COMPLETION:
        from app.inference.networks import signatures

        signatures.check(settings.model_dir, settings.signed_by, settings.signed_issuer)
    if arguments.command == parser.SERVE:
        from app.commands import serve

        return serve.run(settings)
    gc.freeze()
    gc.enable()
    if arguments.command == parser.CLASSIFY:
        from app.commands import classify

        return classify.run(arguments, settings)
    if arguments.command == parser.TEACH:
        from app.commands import teach

        return teach.run(arguments, settings)
    if arguments.command == parser.CORRECT:
        from app.commands import correct

        return correct.run(arguments, settings)
    if arguments.command == parser.REVIEW:
        from app.commands import review

        return review.run(arguments, settings)
    if arguments.command == parser.LEARN:
        from app.commands.learning import learn

        return learn.run(arguments, settings)
    if arguments.command == parser.ROLLBACK:
        from app.commands.learning import rollback

        return rollback.run(arguments, settings)
    if arguments.command == parser.DRIFT:
        from app.commands.learning import drift

        return drift.run(arguments, settings)
    if arguments.command == parser.INSPECT:
        from app.commands import inspect

        return inspect.run(arguments, settings)
    from app.commands import completion

    return completion.run(arguments)


if __name__ == "__main__":
    run()
