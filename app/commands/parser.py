"""The command line comes in as arguments; the command that they name goes out. Shells complete from the same tree."""

import argparse
import sys
from pathlib import Path

from app import __version__
from app.settings import Settings

SERVE, CLASSIFY, INSPECT, COMPLETION = "serve", "classify", "inspect", "completion"
SHELLS = ("bash", "zsh", "fish", "powershell", "tcsh")

CLASSIFY_EPILOG = """exit status:
  0  every photo was answered, and as --expect says where that is given
  1  some photo was answered otherwise than --expect says
  2  some photo could not be read, or the command itself is wrong
  130  stopped by Ctrl-C; --resume goes on

These settings hold here too: CATSCOPE_MODEL_DIR, _ENGINE, _NETWORK, _VERSIONS, _THREADS, _MAX_BYTES, _MAX_PIXELS."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line's arguments; `command` is SERVE when none is named. Ends the process for --help and mistakes."""
    found = build(called()).parse_args(arguments)
    found.command = found.command or SERVE
    return found


def build(program: str) -> argparse.ArgumentParser:
    """The parser of the whole command line; `program` is what it calls itself."""
    rows = [f"  {name:22} {says} (default: {default or 'none'})" for name, default, says in Settings.table()]
    parser = argparse.ArgumentParser(
        prog=program,
        description="Catscope says whether there is a cat in a photo, and shows how it knows. Without a command, it serves.",
        epilog="settings, by environment variable:\n" + "\n".join(rows),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"catscope {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    commands.add_parser(SERVE, help="serve POST /predict and the page; what happens without a command")
    _classify(commands)
    _inspect(commands)
    completion = commands.add_parser(COMPLETION, help="print what makes a shell complete these commands")
    completion.add_argument("shell", choices=SHELLS)
    return parser


def called() -> str:
    """What the user called: `catscope`, or `python -m app`."""
    name = Path(sys.argv[0]).name
    return "python -m app" if name in ("__main__.py", "-m", "-c") else name.removesuffix(".exe")


def _classify(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        CLASSIFY,
        help="classify photos, or folders of them, without a server",
        description="Says of each photo whether there is a cat in it. Photos are only read: nothing is moved or changed.",
        epilog=CLASSIFY_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "photos", nargs="+", metavar="PHOTO_OR_FOLDER", help="folders are searched for photos; - reads one from a pipe"
    )
    _network(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", dest="form", action="store_const", const="csv", help="a line a photo; what a pipe gets")
    form.add_argument("--json", dest="form", action="store_const", const="json", help="a JSON object a line")
    form.add_argument("--table", dest="form", action="store_const", const="table", help="for people; what a terminal gets")
    out = parser.add_argument("--out", type=Path, metavar="FILE", help="write there; .json and .jsonl get JSON, others CSV")
    out.complete = {  # type: ignore[attr-defined]  # shtab's way to say what completes it
        "bash": "_shtab_compgen_files",
        "zsh": "_files",
        "tcsh": "f",
    }
    parser.add_argument("--resume", action="store_true", help="go on with FILE: photos that stand in it are not asked again")
    parser.add_argument("--expect", metavar="VERDICT", help="a verdict, such as cat; another one makes the exit status 1")
    parser.add_argument("--threads", type=_at_least_one, metavar="N", help="photos at once (default: one a core)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _inspect(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(INSPECT, help="show the stages of a network as a table")
    parser.add_argument("network", metavar="NETWORK", help="a network's name, or its folder")
    parser.add_argument("--network-version", metavar="VERSION", help="one of its versions (default: the one that is served)")
    parser.add_argument("--inner", action="store_true", help="also the layers inside of stages that consist of several")
    parser.add_argument("--json", action="store_true", help="as GET /models/{network} answers it, without the measurements")


def _network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", metavar="NAME", help="which network answers (default: as in the service)")
    parser.add_argument("--network-version", metavar="VERSION", help="one of its versions (default: the one that is served)")


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return number
