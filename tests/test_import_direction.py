"""The arrows of the design: who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted([*(ROOT / "app").rglob("*.py"), *(ROOT / "training").rglob("*.py")])
STEPS = (
    "decode",
    "structure",
    "tensor",
    "network",
    "feature_maps",
    "heatmap",
    "kernels",
    "palette",
    "guises",
    "weights",
    "contract",
    "pooling",
    "taps",
    "geometry",
    "audit",
    "sheet",
    "versions",
    "activations",
)
# A step may use what lies below it; it never calls the step before or after it.
BELOW = {
    "decode": {"structure"},
    "network": {"contract", "weights", "pooling", "taps", "versions"},
    "versions": {"contract"},
    "feature_maps": {"palette"},
    "kernels": {"palette"},
    "heatmap": {"palette", "contract", "network", "activations"},
    "geometry": {"contract"},
    "audit": {"geometry", "contract", "network", "activations"},
    "sheet": {"palette"},
}
# Who calls the steps in order, and which of the others it starts from: an explanation reads the photo as an answer does.
WALKS = {"predict": set(), "explain": {"predict"}, "compare": {"predict"}}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def below(found: set[str], package: str) -> set[str]:
    return {name for name in found if name == package or name.startswith(package + ".")}


@pytest.mark.parametrize("path", [p for p in MODULES if name_of(p).startswith("app")], ids=name_of)
def test_the_service_never_imports_training(path):
    assert not below(imports(path), "training")


@pytest.mark.parametrize("path", [p for p in MODULES if "inference" in p.parts], ids=name_of)
def test_inference_knows_no_http(path):
    found = imports(path)
    assert not any(below(found, package) for package in ("fastapi", "starlette", "uvicorn", "pydantic", "app.routes"))


def beside(name: str) -> set[str]:
    """Which of the files beside it a file of app/inference imports."""
    found = below(imports(ROOT / "app" / "inference" / f"{name}.py"), "app.inference")
    return {module.split(".")[2] for module in found if "." in module[4:]}


def test_every_file_of_inference_is_a_step_or_calls_steps():
    files = {path.stem for path in (ROOT / "app" / "inference").glob("*.py")} - {"__init__"}
    assert files == {*STEPS, *WALKS}


@pytest.mark.parametrize("step", STEPS)
def test_steps_import_only_what_lies_below_them(step):
    assert beside(step) & {*STEPS, *WALKS} <= BELOW.get(step, set())


@pytest.mark.parametrize("walk", WALKS)
def test_those_who_call_the_steps_do_not_call_each_other(walk):
    assert beside(walk) & {*WALKS} == WALKS[walk]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nobody_imports_main(path):
    if name_of(path) != "app.__main__":
        assert not below(imports(path), "app.main")


@pytest.mark.parametrize("path", [p for p in MODULES if name_of(p).startswith("app")], ids=name_of)
def test_the_environment_is_read_in_settings_alone(path):
    if name_of(path) != "app.settings":
        assert "os.environ" not in path.read_text().replace('os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")', "")
        assert "getenv" not in path.read_text()


@pytest.mark.parametrize("path", [p for p in MODULES if name_of(p).startswith("training")], ids=name_of)
def test_training_uses_only_the_inference_side_of_the_service(path):
    found = below(imports(path), "app")
    assert all(below({name}, "app.inference") or below({name}, "app.errors") or name == "app" for name in found)


def test_the_service_starts_without_tensorflow_and_without_the_onnx_package():
    code = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras", "onnx", "matplotlib", "sklearn", "h5py", "tqdm"):
            raise ImportError(name + " must not be imported")
sys.meta_path.insert(0, Refuse())
import app.main, app.__main__, app.inference.network
import onnxruntime
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
