"""A cluster of two nodes for the tests of deploy/ray, and the environment that its processes run in."""

import json
import subprocess
from pathlib import Path

from tests.conftest import ROOT, environment


class Cluster:
    """The two nodes of nodes.py, which runs as a separate process."""

    def __init__(self, python: Path, *arguments: object) -> None:
        command = [python, Path(__file__).with_name("nodes.py"), *map(str, arguments)]
        self.process = subprocess.Popen(
            command,
            env=ray_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._read_state()

    def _read_state(self) -> None:
        line = self.process.stdout.readline()
        while not line.startswith("{"):
            assert line, "the cluster did not start"
            line = self.process.stdout.readline()
        state = json.loads(line)
        self.address, self.raylet = state["address"], state["raylet"]

    def send(self, command: str) -> None:
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        self._read_state()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def ray_environment(**settings: object) -> dict[str, str]:
    return environment(**settings) | {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT)}
