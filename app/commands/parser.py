"""The command line comes in; the parsed arguments go out. Shell completion is generated from the same parser."""

import argparse
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from app import __version__
from app.settings import Settings

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

SERVE, CLASSIFY, TEACH, INSPECT, COMPLETION = "serve", "classify", "teach", "inspect", "completion"
CORRECT, REVIEW = "correct", "review"
LEARN, ROLLBACK, DRIFT = "learn", "rollback", "drift"
SHELLS = ("bash", "zsh", "fish", "powershell", "tcsh")

CLASSIFY_EPILOG = """exit status:
  0  every photo was classified and matches --expect or --expect-folders, if given
  1  at least one photo does not match
  2  at least one photo could not be read, or was passed over in a folder because its format (JPEG XL, camera RAW,
     a video ...) is not read, or the command line is invalid
  130  stopped by Ctrl-C; --resume continues

These settings apply here too: CATSCOPE_MODEL_DIR, _ENGINE, _NETWORK, _VERSIONS, _THREADS, _MAX_BYTES, _MAX_PIXELS."""


LEARN_EPILOG = """exit status:
  0  the new version is better, and was written (or would have been, with --dry-run)
  2  it could not be tried: too few corrections, no store, another process learns, or the command line is invalid
  3  the new version is not better, and nothing was written
  130  stopped by Ctrl-C; nothing was written"""


class _Parser(argparse.ArgumentParser):
    """A parser whose help and version report a full disk; argparse passes over it in silence."""

    def _print_message(self, message: str, file: "SupportsWrite[str] | None" = None) -> None:
        if file is not None and file is sys.stdout:
            file.write(message)
        else:
            super()._print_message(message, file)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; `command` defaults to SERVE. Exits for --help and for invalid arguments."""
    parsed = build(program_name()).parse_args(arguments)
    parsed.command = parsed.command or SERVE
    return parsed


def build(program: str) -> argparse.ArgumentParser:
    """The parser of the whole command line; `program` is the name shown in its help."""
    rows = [f"  {name:22} {meaning} (default: {default or 'none'})" for name, default, meaning in Settings.table()]
    parser: argparse.ArgumentParser = _Parser(
        prog=program,
        description="Catscope says whether there is a cat in a photo, and shows how it knows. Without a command, it serves.",
        epilog="settings, by environment variable:\n" + "\n".join(rows),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"catscope {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    commands.add_parser(SERVE, help="serve the API and the page (the default command)")
    _classify(commands)
    _teach(commands)
    _correct(commands)
    _review(commands)
    _learn(commands)
    _rollback(commands)
    _drift(commands)
    _inspect(commands)
    completion = commands.add_parser(COMPLETION, help="print a shell's completion script for these commands")
    completion.add_argument("shell", choices=SHELLS)
    return parser


def program_name() -> str:
    """How the user started the program: `catscope`, or `python -m app`."""
    name = Path(sys.argv[0]).name
    return "python -m app" if name in ("__main__.py", "-m", "-c") else name.removesuffix(".exe")


def _classify(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        CLASSIFY,
        help="classify photos and folders of photos, without a server",
        description="Says for each photo whether there is a cat in it. Photos are only read, never moved or changed.",
        epilog=CLASSIFY_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "photos",
        nargs="+",
        metavar="PHOTO_OR_FOLDER",
        help="folders are searched for photos; - reads one photo from standard input",
    )
    _network(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--csv", dest="form", action="store_const", const="csv", help="one row per photo; the default in a pipe"
    )
    form.add_argument("--json", dest="form", action="store_const", const="json", help="one JSON object per line")
    form.add_argument(
        "--table", dest="form", action="store_const", const="table", help="a readable table; the default on a terminal"
    )
    out = parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write to FILE; .json, .jsonl and .ndjson get JSON, others CSV"
    )
    out.complete = {  # type: ignore[attr-defined]  # tells shtab to complete file names
        "bash": "_shtab_compgen_files",
        "zsh": "_files",
        "tcsh": "f",
    }
    parser.add_argument("--resume", action="store_true", help="continue FILE, skipping photos already in it")
    expected = parser.add_mutually_exclusive_group()
    expected.add_argument(
        "--expect", metavar="VERDICT", help="expected verdict, such as cat; with any other, the exit status is 1"
    )
    expected.add_argument(
        "--expect-folders", action="store_true", help="each photo is expected to be what the folder it lies in is called"
    )
    _looking(parser, "classified")


def _teach(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        TEACH,
        help="teach classes of your own, from a folder of photos for each",
        description="Makes a network that tells your classes apart, from 20 photos of each, in a minute. It sees as the "
        "network cat does and learns only what to make of it. Photos are only read, never moved or changed.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="holds a folder of photos for each class")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="NAME",
        help="the network's name, in the folder of networks, or a new folder elsewhere",
    )
    parser.add_argument("--start", default="cat", metavar="NETWORK", help="network to start from (default: cat)")
    _looking(parser, "looked at")


def _correct(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        CORRECT,
        help="keep photos that a network gets wrong, with what they show",
        description="Keeps photos in the store (CATSCOPE_STORE), with what the network says about them and what is right.",
    )
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="photos that all show the same; - reads standard input")
    parser.add_argument("--label", required=True, metavar="CLASS", help="what they show, a class of the network")
    _network(parser)


def _review(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        REVIEW,
        help="list what was corrected and what is unsure; label, delete or export it",
        description="Lists what the store (CATSCOPE_STORE) keeps, the latest first, or changes it.",
    )
    parser.add_argument("--kind", choices=("corrected", "unsure"), help="only these")
    parser.add_argument("--network", metavar="NAME", help="only what this network said")
    parser.add_argument("--day", type=_day, metavar="YYYY-MM-DD", help="only of this day, in UTC")
    parser.add_argument("--json", action="store_true", help="one object per line, like those of GET /corrections")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--label", action="append", metavar="ID=CLASS", help="say what a photo shows; may be repeated")
    action.add_argument("--delete", action="append", metavar="ID", help="delete one, or undo it; may be repeated")
    action.add_argument(
        "--delete-all", action="store_true", help="delete everything, photos included; needs --yes, takes no filter"
    )
    action.add_argument(
        "--export", type=Path, metavar="FILE.zip", help="write photos, in a folder for each class, and all else"
    )
    parser.add_argument("--yes", action="store_true", help="do delete everything")


def _learn(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        LEARN,
        help="make a better version of a network from what was corrected",
        description="Fits a new version of a network to the corrections in the store, without forgetting what it knows. "
        "It is served only if it is better on corrections that it did not learn from, and no worse on the held-out sets "
        "that came with the network.",
        epilog=LEARN_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--network", metavar="NAME", help="network to improve (default: as in the service)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would come of it")
    _looking(parser, "looked at")


def _rollback(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        ROLLBACK,
        help="undo learning: set a network's newest learned version aside",
        description="Moves the newest version that was learned into the folder .rolled-back beside the store's networks, so "
        "that the version before it answers again.",
    )
    parser.add_argument("network", metavar="NETWORK", help="a network's name")


def _drift(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        DRIFT,
        help="show how answers that were kept changed from week to week",
        description="Shows for each ISO week how many answers were kept, how confident they were, their verdicts, and how "
        "many were corrected; and what changed between the last two weeks.",
    )
    parser.add_argument("--network", metavar="NAME", help="only this network's answers (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _inspect(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(INSPECT, help="show the stages of a network as a table")
    parser.add_argument("network", metavar="NETWORK", help="a network's name, or its folder")
    parser.add_argument(
        "--network-version", metavar="VERSION", help="one of its versions (default: the one the service uses)"
    )
    parser.add_argument("--inner", action="store_true", help="also show the layers inside composite stages")
    parser.add_argument(
        "--json", action="store_true", help="print JSON like GET /models/{network}, without the measurements"
    )


def _network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", metavar="NAME", help="network to use (default: as in the service)")
    parser.add_argument(
        "--network-version", metavar="VERSION", help="one of its versions (default: the one the service uses)"
    )


def _looking(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--threads", type=_at_least_one, metavar="N", help=f"photos {what} at once (default: one per core)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date such as 2026-11-28") from None


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return number
