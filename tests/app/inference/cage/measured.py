"""A process that gives up its rights, and what of the code ran in it: it can write no file afterwards, so it prints that."""

import json
import os
import subprocess
import sys

import coverage

from tests.conftest import ROOT

MARK = "measured: "
BEGIN = f"""
import coverage, json
measured = coverage.Coverage(None, branch=True, config_file=False, include=[{str(ROOT / "app" / "*")!r}])
measured.start()
"""
END = f"""
measured.stop()
data = measured.get_data()
print({MARK!r} + json.dumps({{file: data.arcs(file) for file in data.measured_files()}}))
"""
REACHED = f"""
import json
from mutmut.state import state
print({MARK!r} + json.dumps(sorted(state()._stats)))
"""
"""The functions that mutmut saw a test reach; it later runs the test on their mutants."""


def confined(code: str) -> str:
    """What code prints that gives up its rights, in a process of its own; where this process is measured, so is that."""
    here = coverage.Coverage.current()
    asked = os.environ.get("MUTANT_UNDER_TEST") == "stats"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1"}  # Python 3.11 would leave empty modules where files are kept small
    code = BEGIN + code + END if here else code + REACHED if asked else code
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    said, _, found = result.stdout.partition(MARK)
    if here:
        data = coverage.CoverageData(ROOT / str(here.get_option("run:data_file")), suffix=True)
        data.add_arcs({file: list(map(tuple, arcs)) for file, arcs in json.loads(found).items()})
        data.close()
    elif asked:
        from mutmut.state import state

        state()._stats.update(json.loads(found))
    return said
