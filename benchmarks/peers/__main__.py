"""Compares model servers that people might use instead with ours: same photos, same network, both cores.

    .venv/bin/python -m benchmarks.peers [--only NAME ...] [--out benchmarks/peers.json]

Each peer runs in its own environment, .peers/NAME, made from benchmarks/peers/requirements/NAME.txt, in two variants:
`documented`, set up like the image classifier in its own documentation, and `ours`, with our preprocessing and session
(benchmarks/peers/work.py). Our server runs beside it, and they take turns under load. Each result is written at once; when
started again, the benchmark measures the peers that are not in the file yet, and those named with --only in any case.

Each variant takes about two minutes, not counting the installation.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import httpx2

from benchmarks import photos
from benchmarks.clients import missing
from benchmarks.machine import machine
from benchmarks.peers import measure
from benchmarks.peers.measure import measured, measured_ours, say
from benchmarks.peers.running import ROOT, Failed, running
from benchmarks.peers.servers import OURS, PEERS
from benchmarks.peers.table import tables


def main() -> None:
    """Run the requested measurements, then print the tables of all results in the file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=[OURS.name, *PEERS], metavar="NAME", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "peers.json")
    options = parser.parse_args()
    if missing():
        sys.exit(f"a load generator is missing; on Debian: apt-get install {' '.join(missing())}")
    result = json.loads(options.out.read_text()) if options.out.exists() else {"servers": {}}
    result |= {
        "machine": machine(),
        "connections": measure.CONNECTIONS,
        "rounds": measure.ROUNDS,
        "seconds_a_round": measure.ROUND_S,
    }
    todo = options.only or [name for name in (OURS.name, *PEERS) if name not in result["servers"]]
    mixes = {"web": photos.web(), "phone": photos.phone()}
    with running(OURS, "ours", mixes["web"][0]) as ours:
        for name in todo:
            result["servers"][name] = (
                {"ours": measured_ours(mixes, ours)}
                if name == OURS.name
                else {variant: _tried(name, variant, mixes, ours) for variant in PEERS[name].variants}
            )
            options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(tables(result))


def _tried(name: str, variant: str, mixes: dict, ours) -> dict:
    """The measurements, or the error in one line if the peer cannot be run."""
    try:
        return measured(PEERS[name], variant, mixes, ours)
    except (Failed, subprocess.SubprocessError, httpx2.HTTPError) as error:
        reason = str(error).strip().split("\n")[0]
        say(f"  {name}, {variant}, failed: {reason}")
        return {"error": reason}


if __name__ == "__main__":
    main()
