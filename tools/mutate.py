"""Modules come in; each is broken on purpose in hundreds of ways, and the ways that no test notices go out.

    .venv/bin/python -m tools.mutate app/inference/image_checks.py

mutmut makes the mutants and runs the tests of MEASURED on each, in build/mutate/, where a run that was stopped goes on. The
scores and the survivors go into benchmarks/mutation.json. Each survivor is explained in tests/mutants.toml; the exit status
is 1 where one is not, or where a score is below LEAST, and 3 where the run was stopped before its end.

A function's mutants keep their verdicts until its code changes, and survivors that are not explained are tried again when
tests change. Deleting build/mutate/ forgets all verdicts.
"""

import argparse
import ast
import difflib
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
WORK = ROOT / "build" / "mutate"
ENVIRONMENT = WORK / "env"
RESULT = ROOT / "benchmarks" / "mutation.json"
EXPLANATIONS = ROOT / "tests" / "mutants.toml"

LEAST = 0.85
"""The share of a module's mutants that its tests notice, at least. Those that no test could notice count as missed, too."""

MAX_BYTES = 6_000_000_000
"""Of memory, for a mutant's tests: some mutants allocate without end."""

_INFERENCE, _TEACH = "tests/app/inference", "tests/app/teach"
_CHECKS = tuple(f"{_INFERENCE}/test_{name}.py" for name in ("check_edges", "check_gif", "check_limits", "image_checks"))

MEASURED: dict[str, tuple[str, ...]] = {
    "app/inference/image_checks.py": _CHECKS,
    "app/inference/jpeg.py": (f"{_INFERENCE}/test_jpeg.py",),
    "app/inference/heif.py": tuple(f"{_INFERENCE}/test_heif_{name}.py" for name in ("boxes", "claims", "units")),
    "app/inference/format_names.py": (f"{_INFERENCE}/test_format_names.py",),
    "app/inference/decode.py": tuple(f"{_INFERENCE}/test_decode_{name}.py" for name in ("exactly", "steps")),
    "app/schemas/form.py": ("tests/app/schemas/test_form.py",),
    "app/schemas/own/spool.py": ("tests/app/schemas/test_spool.py",),
    **{
        f"app/server/{name}.py": tuple(f"tests/app/server/test_{tested}.py" for tested in ("answers", "arriving", "heads"))
        for name in ("body", "connection")
    },
    "app/middleware/admission.py": ("tests/app/middleware/test_admission.py",),
    "app/middleware/rate_limit.py": ("tests/app/middleware/test_rate_limit.py",),
    "app/middleware/api_keys.py": ("tests/app/middleware/test_api_keys.py",),
    "app/inference/networks/versions.py": (f"{_INFERENCE}/networks/test_versions.py",),
    "app/inference/networks/edits.py": (f"{_INFERENCE}/networks/test_edits.py",),
    "app/schemas/edits.py": ("tests/app/schemas/test_edits.py",),
    "app/inference/cage/messages.py": (f"{_INFERENCE}/cage/test_messages.py",),
    "app/inference/cage/photos.py": (f"{_INFERENCE}/cage/test_photos.py",),
    "app/inference/cage/cage.py": tuple(f"{_INFERENCE}/cage/test_{name}.py" for name in ("processes", "cage_faults")),
    "app/inference/cage/child.py": (f"{_INFERENCE}/cage/test_child.py",),
    "app/inference/cage/confinement.py": (f"{_INFERENCE}/cage/test_confinement.py",),
    "app/routes/own/teach.py": ("tests/app/routes/test_teach_at_rest.py",),
    **{f"app/teach/{name}.py": (f"{_TEACH}/test_{name}.py",) for name in ("photos", "judges")},
    "app/teach/jobs.py": (f"{_TEACH}/test_jobs.py", f"{_TEACH}/test_jobs_at_work.py"),
    "app/teach/worker.py": (f"{_TEACH}/test_worker_here.py",),
    "app/teach/folder.py": (f"{_TEACH}/test_folder.py", f"{_TEACH}/test_written_network.py"),
    **{
        f"app/teach/{name}.py": (f"{_TEACH}/test_{name}.py",)
        for name in ("agreement", "calibrate", "familiar", "teach", "twin")
    },
    "app/teach/alike.py": (f"{_TEACH}/test_figures.py",),
    "app/teach/figures.py": (f"{_TEACH}/test_figures.py",),
}
"""Each module, and the tests that are run on its mutants: those that start no server, where there are such."""

_LEFT_OUT = "not (docker or browser or fresh or slow or soak)"
_VERDICTS = {1: "killed", 3: "killed", 0: "survived", 5: "untested", 33: "untested"}
_TIMED_OUT = (36, 24, -24, 152)
"""mutmut's exit codes. Whatever else a mutant's tests ended with, they did not pass, so it counts as killed."""
_NOT_RUN = 255
"""That of an exception in mutmut, which takes it for a timeout: pytest refuses some ids that it gave itself."""
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def main(arguments: list[str] | None = None) -> int:
    """Measure the modules that are named, or all; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutate", description=__doc__.partition("\n")[0])
    parser.add_argument("module", nargs="*", help="a path of MEASURED; without one, all of them")
    parser.add_argument("--minutes", type=float, help="stop after so long; the next run goes on")
    parser.add_argument("--jobs", type=int, default=2, help="mutants that are tried at once")
    options = parser.parse_args(arguments)
    if unknown := set(options.module) - set(MEASURED):
        parser.error(f"no tests are known for {sorted(unknown)[0]}; tools/mutate.py lists them")
    complaints: list[str] = []
    end = time.monotonic() + 60 * options.minutes if options.minutes else None
    for module in options.module or MEASURED:
        folder = prepared(module)
        if not known(folder, module):
            print(f"{module}: {' '.join(MEASURED[module])}", flush=True)
            if not tried(folder, options.jobs, end):
                return 3
            (folder / "code.sha256").write_text(digest(module))
        entry = judged(module, verdicts(folder, module), mutated(folder, module))
        keep(module, entry)
        complaints += complaints_of(module, entry)
        print(f"{module}: {entry['score']:.3f} of {entry['mutants']}", flush=True)
    print("\n".join(complaints), end="\n" if complaints else "")
    return 1 if complaints else 0


def prepared(module: str) -> Path:
    """The folder in which a module is mutated: mutmut's settings, and what tests read beside the code and the tests."""
    folder = WORK / module.removesuffix(".py").replace("/", ".")
    copy = folder / "mutants"
    copy.mkdir(parents=True, exist_ok=True)
    for name in ("app", "tests"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(ROOT / name)
    for path in ROOT.iterdir():
        if path.name not in ("app", "tests", "build", "pyproject.toml") and not (copy / path.name).is_symlink():
            (copy / path.name).symlink_to(path)
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text() + settings(module))
    _keep_whole(copy / f"{module}.meta", copy / module)
    tests, seen = digest(*MEASURED[module]), folder / "tests.sha256"
    if seen.exists() and seen.read_text() != tests:
        _forget_survivors(folder, module)
    seen.write_text(tests)
    return folder


def _keep_whole(meta: Path, code: Path) -> None:
    """Keep a copy of mutmut's verdicts, or take it back where mutmut was stopped while it wrote them. Without one, mutmut
    begins anew, which it does where the mutants are not there either.
    """
    kept = meta.with_suffix(".kept")
    if meta.exists():
        try:
            json.loads(meta.read_text())
        except ValueError:
            for path in (meta, *([] if kept.exists() else [code])):
                path.unlink()
            if kept.exists():
                shutil.copy(kept, meta)
        else:
            shutil.copy(meta, kept)


def digest(*paths: str) -> str:
    """Of the content of files, by their paths from the repository on."""
    return hashlib.sha256(b"".join((ROOT / path).read_bytes() for path in paths)).hexdigest()


def known(folder: Path, module: str) -> bool:
    """Whether each mutant of the module as it is now has its verdict."""
    seen, meta = folder / "code.sha256", folder / "mutants" / f"{module}.meta"
    if not seen.exists() or seen.read_text() != digest(module):
        return False
    return None not in json.loads(meta.read_text())["exit_code_by_key"].values()


def settings(module: str) -> str:
    """The table of mutmut in pyproject.toml for one module."""
    values = {
        "source_paths": ["app"],
        "only_mutate": [module],
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-m", _LEFT_OUT],
        "pytest_add_cli_args_test_selection": list(MEASURED[module]),
        "process_isolation": "forkserver",
        "use_git_change_detection": False,
        "on_dependency_change": "ignore",
        "timeout_constant": 2.0,
        "timeout_multiplier": 8.0,
    }
    return "\n[tool.mutmut]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())


def _forget_survivors(folder: Path, module: str) -> None:
    """Have survivors tried again that are not explained, and the tests looked at again for what they reach."""
    (folder / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)
    meta = folder / "mutants" / f"{module}.meta"
    if meta.exists():
        known = json.loads(meta.read_text())
        codes = known["exit_code_by_key"]
        names = [name for name, code in codes.items() if code is not None and _VERDICTS.get(code) != "killed"]
        again = {
            name for name, one in zip(names, told(names, module, mutated(folder, module)), strict=True) if not one["why"]
        }
        known["exit_code_by_key"] = {name: None if name in again else code for name, code in codes.items()}
        meta.write_text(json.dumps(known))


def tried(folder: Path, jobs: int, end: float | None) -> bool:
    """Run mutmut in a folder; whether it was ready before the time `end` of the monotonic clock. Raises SystemExit where
    the tests fail without a mutant.
    """
    command = [str(ENVIRONMENT / "bin" / "mutmut"), "run", "--max-children", str(jobs)]
    # Fixtures that are the same for all tests are made once for all mutants, as they are once for pytest-xdist's workers.
    surroundings = {"PYTEST_XDIST_WORKER": "mutant", "PYTEST_DEBUG_TEMPROOT": str(folder)}
    surroundings["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = (
        "1"  # no plugin is needed, and loading them takes longer than many tests
    )
    process = subprocess.Popen(  # noqa: S603  our own arguments
        command,
        cwd=folder,
        env=os.environ | surroundings,
        start_new_session=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (MAX_BYTES, MAX_BYTES)),
    )
    try:
        status = process.wait(timeout=max(0, end - time.monotonic()) if end else None)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        print("\nstopped; the next run goes on from here")
        return False
    if status:
        raise SystemExit(f"error: mutmut ended with {status}")
    return True


def verdicts(folder: Path, module: str) -> dict[str, str]:
    """What became of each mutant, by its name: killed, timeout, survived or untested. Raises SystemExit for others."""
    meta = folder / "mutants" / f"{module}.meta"
    known = json.loads(meta.read_text())
    codes = known["exit_code_by_key"]
    if None in codes.values():
        raise SystemExit("error: mutmut left mutants untried")
    if failed := [name for name, code in codes.items() if code == _NOT_RUN]:
        known["exit_code_by_key"] = codes | dict.fromkeys(failed)
        meta.write_text(json.dumps(known))
        raise SystemExit(
            f"error: tests did not run on {len(failed)} mutants, {failed[0]} first; the next run tries again. If that does "
            "not help, pytest may refuse the id of a test."
        )
    return {name: "timeout" if code in _TIMED_OUT else _VERDICTS.get(code, "killed") for name, code in codes.items()}


def mutated(folder: Path, module: str) -> str:
    """The module's code with all of its mutants, as mutmut wrote it."""
    return (folder / "mutants" / module).read_text()


def judged(module: str, by_name: dict[str, str], code: str) -> dict[str, Any]:
    """A module's entry in benchmarks/mutation.json."""
    counts = Counter(by_name.values())
    survivors = told([name for name, verdict in by_name.items() if verdict in ("survived", "untested")], module, code)
    caught = counts["killed"] + counts["timeout"]
    return {
        "mutants": len(by_name),
        "killed": counts["killed"],
        "timeout": counts["timeout"],
        "survived": len(survivors),
        "score": round(caught / len(by_name), 4),
        "survivors": survivors,
    }


def told(names: list[str], module: str, code: str) -> list[dict[str, str]]:
    """The function of each mutant, what was changed in it, and why it survives."""
    functions = {node.name: node for node in ast.walk(ast.parse(code)) if isinstance(node, _FUNCTION)}
    lines, reasons = code.splitlines(), explanations()

    def source(name: str) -> list[str]:
        return [line.replace(name, "") for line in lines[functions[name].lineno - 1 : functions[name].end_lineno]]

    mutants = []
    for mutant in (name.rpartition(".")[2] for name in names):
        original = mutant.partition("__mutmut_")[0]
        function = original.removeprefix("xǁ").replace("ǁ", ".") if "ǁ" in original else original.removeprefix("x_")
        diff = changed(source(f"{original}__mutmut_orig"), source(mutant))
        mutants.append({"function": function, "diff": diff, "why": reasons.get((module, function, diff), "")})
    return mutants


def changed(before: list[str], after: list[str]) -> str:
    """The lines that differ, without their indentation, behind - and +."""
    pairs = difflib.ndiff([line.strip() for line in before], [line.strip() for line in after])
    return "\n".join(line for line in pairs if line[0] in "-+")


def explanations() -> dict[tuple[str, str, str], str]:
    """Why a mutant survives, by module, function and diff. Raises ValueError for what tests/mutants.toml should not hold."""
    known: dict[tuple[str, str, str], str] = {}
    for entry in tomllib.loads(EXPLANATIONS.read_text())["reason"]:
        if set(entry) != {"module", "why", "mutants"} or len(entry["why"].split()) < 4:
            raise ValueError(f"a reason has a module, mutants and a few words that say why, unlike {entry}")
        for mutant in entry["mutants"]:
            function, _, diff = mutant.partition("\n")
            known[entry["module"], function, diff.strip()] = entry["why"]
    return known


def keep(module: str, entry: dict[str, Any]) -> None:
    """Write a module's entry into benchmarks/mutation.json."""
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {"modules": {}}
    [tool] = distributions(name="mutmut", path=site_packages())
    modules = result["modules"] | {module: {"code": digest(module)} | entry}
    report = {"tool": f"mutmut {tool.version}", "modules": {name: modules[name] for name in MEASURED if name in modules}}
    RESULT.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


def site_packages() -> list[str]:
    """Where the packages of mutmut's environment lie."""
    return [str(path) for path in ENVIRONMENT.glob("lib/python*/site-packages")]


def table(report: dict[str, Any]) -> str:
    """The scores as a table in Markdown: every module of MEASURED, also where nothing was measured yet, or other code."""
    rows = ["| module | mutants | noticed | share | survivors, each explained |", "|---|---|---|---|---|"]
    for module in MEASURED:
        entry = report["modules"].get(module)
        if entry is None:
            rows.append(f"| `{module}` | not measured | | | |")
        else:
            caught = entry["killed"] + entry["timeout"]
            name = f"`{module}`" + ("" if entry["code"] == digest(module) else ", changed since")
            rows.append(f"| {name} | {entry['mutants']:,} | {caught:,} | {entry['score']:.3f} | {entry['survived']} |")
    return "\n".join(rows)


def complaints_of(module: str, entry: dict[str, Any]) -> Iterable[str]:
    """A line for each reason to fail, with what would explain its survivors in tests/mutants.toml."""
    if entry["score"] < LEAST:
        yield f"{module}: {entry['score']:.3f} is below {LEAST}"
    missing = [f"'''{one['function']}\n{one['diff']}'''," for one in entry["survivors"] if not one["why"]]
    if missing:
        yield "\n".join(["# not explained:", "[[reason]]", f'module = "{module}"', 'why = ""', "mutants = [", *missing, "]"])


if __name__ == "__main__":
    sys.exit(main())
