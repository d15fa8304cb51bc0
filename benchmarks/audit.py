"""How far the networks' values differ from the same arithmetic in float64: random units of every stage on real photos.

    .venv/bin/python -m benchmarks.audit --out benchmarks/audit.json

The photos are those that scikit-image ships. The stage is drawn before the unit, so that small stages count as much as
large ones. Compares the values in the answer of `POST /explain/unit`.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import skimage.data

from app.inference.explain.audit import audit
from app.inference.networks.load import load_all
from app.inference.predict import read

ROOT = Path(__file__).parent.parent
PHOTOS = ("chelsea.png", "astronaut.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "ihc.png")
UNITS_A_STAGE = 10  # per photo: 90 layers of three networks on six photos give more than 5,000 units
BOUND = 1e-4


def main() -> None:
    """Draw the units, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    result = measure(np.random.default_rng(20))
    print(table(result))
    if out:
        out.write_text(json.dumps(result, indent=1) + "\n")


def measure(random: np.random.Generator) -> dict:
    """The differences of all units of all networks, as fractions of their largest terms and of their own values."""
    paths = [path for name in PHOTOS if (path := Path(skimage.data.__file__).parent / name).exists()]
    networks = {}
    for versions in load_all([ROOT / "model"], "onnx").networks.values():
        network = next(iter(versions.values()))
        contract = network.contract
        stages = [*contract.stages, *contract.inner]
        audits = []
        for path in paths:
            _, tensor = read(path.read_bytes(), network, 10**8)
            values = {"image": tensor[0]} | network.run(tensor, [stage.name for stage in stages]).stages
            for stage in stages:
                shape = stage.shape if len(stage.shape) == 3 else (1, 1, *stage.shape)
                for _ in range(UNITS_A_STAGE):
                    position = tuple(int(random.integers(size)) for size in shape)
                    audits.append(audit(network, stage, values, position, contributions=1))
        relative = np.array([one.relative_difference for one in audits])
        strict = np.array([one.difference / abs(one.value) if one.value else one.difference for one in audits])
        networks[contract.network] = {
            "units": len(audits),
            "largest": float(relative.max()),
            "median": float(np.median(relative)),
            "stage_of_the_largest": audits[int(relative.argmax())].stage.name,
            "of_the_value_itself": {"largest": float(strict.max()), "above_bound": int((strict > BOUND).sum())},
        }
    return {"photos": [path.name for path in paths], "bound": BOUND, "networks": networks}


def table(result: dict) -> str:
    """The result as a Markdown table."""
    lines = ["| network | units | largest difference | median | at stage |", "|---|---|---|---|---|"]
    for name, one in sorted(result["networks"].items()):
        lines.append(
            f"| {name} | {one['units']:,} | {one['largest']:.1e} | {one['median']:.1e} | {one['stage_of_the_largest']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
