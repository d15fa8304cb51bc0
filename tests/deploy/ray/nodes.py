"""A Ray cluster of two nodes on this machine, each with its own processes; run by cluster.py in Ray's environment.

python nodes.py CPUS [DASHBOARD_PORT]

Prints a line of JSON, {"address": ..., "raylet": process id of the node without the head}, then does what it reads, a word
a line, and answers each with such a line: `kill` ends every process of that node at once, `add` starts another.
"""

import contextlib
import json
import os
import signal
import sys
from pathlib import Path

from ray.cluster_utils import Cluster

MEMORY = 200_000_000
# A dead node is noticed after a second; with Ray's own settings that takes a quarter of a minute.
SOON = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 2}


def main() -> None:
    cpus = float(sys.argv[1])
    head = {"num_cpus": cpus, "object_store_memory": MEMORY, "include_dashboard": False, "_system_config": SOON}
    if len(sys.argv) > 2:
        head |= {"include_dashboard": True, "dashboard_port": int(sys.argv[2])}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    second_node = cluster.add_node(num_cpus=cpus, object_store_memory=MEMORY)
    try:
        while True:
            raylet = second_node.all_processes["raylet"][0].process.pid
            print(json.dumps({"address": cluster.address, "raylet": raylet}), flush=True)
            command = sys.stdin.readline().strip()
            if command == "kill":
                kill(raylet)
            elif command == "add":
                cluster.worker_nodes.discard(second_node)
                second_node = cluster.add_node(num_cpus=cpus, object_store_memory=MEMORY)
            else:
                return
    finally:
        # What is left is killed: Ray would drain each node for half a minute first.
        for node in cluster.list_all_nodes():
            kill(node.all_processes["raylet"][0].process.pid)
            node.kill_all_processes(check_alive=False, allow_graceful=False)
        os._exit(0)


def kill(pid: int) -> None:
    """Kill a process and all its descendants at once."""
    tree = [pid]
    for one in tree:
        tree += children(one)
    for one in tree:
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


def children(pid: int) -> list[int]:
    pids = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            pids += [int(one) for one in task.read_text().split()]
    return pids


if __name__ == "__main__":
    main()
