"""The modules that the service can import come in; beside each goes its bytecode. The Docker image is built with it.

    python -B compile_imported.py /catscope

Compiling all that is installed takes three times as much, and nothing reads most of it. No date and no hash of the source is
checked when the bytecode is read: the files of an image do not change. What is imported nonetheless is compiled each time.
"""

import ast
import compileall
import contextlib
import importlib
import importlib.util
import py_compile
import sys
from collections.abc import Iterator
from pathlib import Path

BY_NAME = (
    "urllib.request",  # the health check of the image
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.supervisors.watchfilesreload",  # it fails at each start, since watchfiles is not installed
    "fastapi.telemetry._runtime",  # with the first request
    "PIL.BmpImagePlugin",
    "PIL.GifImagePlugin",
    "PIL.JpegImagePlugin",
    "PIL.PpmImagePlugin",
    "multiprocessing.popen_fork",
    "multiprocessing.popen_spawn_posix",
    "multiprocessing.spawn",
    "encodings.idna",  # names of hosts
)
"""Modules that no import statement of the application names, but its packages import by name."""


def main(folder: Path) -> None:
    """Import what the application below `folder` can import, and compile it, unless it belongs to that folder."""
    sys.path.insert(0, str(folder))
    for name in sorted({*BY_NAME, *named(folder / "app")}):
        with contextlib.suppress(Exception):  # packages that are not installed, and names in a module that are no modules
            importlib.import_module(name)
    importlib.import_module("app.main").create_app()  # imports a little more
    for path in sorted(sources(folder)):
        compileall.compile_file(path, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


def named(package: Path) -> Iterator[str]:
    """Every module below a package, and every name that one of them imports, wherever it does; some are no modules."""
    for path in package.rglob("*.py"):
        yield ".".join(path.relative_to(package.parent).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (each.name for each in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module
                yield from (f"{node.module}.{each.name}" for each in node.names)


def sources(folder: Path) -> set[str]:
    """The files of BY_NAME and of all modules that have been imported, less those of a folder."""
    files = {getattr(module, "__file__", None) for module in sys.modules.values()}
    files |= {spec.origin for spec in map(importlib.util.find_spec, BY_NAME) if spec}
    return {file for file in files if file and file.endswith(".py") and folder not in Path(file).parents} - {__file__}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
