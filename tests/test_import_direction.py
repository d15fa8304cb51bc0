"""The layers of the design: which module may import which."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted([*(ROOT / "app").rglob("*.py"), *(ROOT / "training").rglob("*.py")])
# From the outside in. A module may import from its own entry, a folder or a module, and from the lines below it; not from
# what is beside it on the same line.
APP_LAYERS = [
    ["app.__main__"],
    ["app.commands"],
    ["app.main"],
    ["app.routes"],
    ["app.server", "app.middleware"],
    ["app.service"],
    ["app.loading"],
    ["app.middleware.api_keys"],
    ["app.schemas"],
    ["app.learn"],
    ["app.corrections"],
    ["app.capacity"],
    ["app.telemetry"],
    ["app.settings", "app.problems"],
    ["app.teach"],
    ["app.inference.explain"],
    ["app.inference.predict"],
    ["app.inference.cage"],
    ["app.inference.heatmap", "app.inference.feature_maps", "app.inference.tensor", "app.inference.decode"],
    [
        "app.inference.image_checks",
        "app.inference.heif",
        "app.inference.format_names",
        "app.inference.drawing",
        "app.inference.networks",
    ],
    ["app.inference.jpeg", "app.inference.familiarity"],
    ["app.errors", "app.ahead"],
    ["app"],
]
TRAINING_LAYERS = [
    ["training.studies"],
    ["training.train", "training.refine", "training.remember", "training.evaluate", "training.export", "training.fetch"],
    ["training.tasks"],
    ["training.transfer", "training.integers"],
    ["training.measuring"],
    ["training.fitting"],
    ["training.importing"],
    ["training.data"],
    ["training.networks"],
    ["training.config"],
    ["training.backend", "training.outputs", "training.progress"],
    ["training.errors"],
    ["training"],
]
LAYERS = {"app": APP_LAYERS, "training": TRAINING_LAYERS}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_modules(path: Path) -> set[str]:
    """The MODULES that a file imports; a package only where it imports a name from the package's __init__."""
    known = {name_of(module) for module in MODULES}
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= members if members <= known else members | {node.module}
    return names & known


def below(names: set[str], package: str) -> set[str]:
    return {name for name in names if name == package or name.startswith(package + ".")}


@pytest.mark.parametrize("path", [p for p in MODULES if name_of(p).startswith("app")], ids=name_of)
def test_the_service_never_imports_training(path):
    assert not below(imports(path), "training")


@pytest.mark.parametrize("path", [p for p in MODULES if "inference" in p.parts], ids=name_of)
def test_inference_is_independent_of_http(path):
    imported = imports(path)
    assert not any(below(imported, package) for package in ("fastapi", "starlette", "uvicorn", "pydantic", "app.routes"))


def layer(module: str, layers: list[list[str]]) -> tuple[int, str]:
    """The row of `layers` that a module belongs to, and the entry there that names it or its folder."""
    entries = {entry: row for row, line in enumerate(layers) for entry in line}
    name = module
    while name not in entries or (name in ("app", "training") and module != name):
        assert "." in name, f"{module} has no layer: add it to LAYERS"
        name = name.rpartition(".")[0]
    return entries[name], name


@pytest.mark.parametrize("path", [p for p in MODULES if imported_modules(p)], ids=name_of)
def test_a_module_imports_only_its_own_folder_and_the_layers_below(path):
    layers = LAYERS[name_of(path).split(".")[0]]
    row, entry = layer(name_of(path), layers)
    for target in sorted(imported_modules(path)):
        if target.split(".")[0] == name_of(path).split(".")[0]:
            below, other = layer(target, layers)
            assert below > row or other == entry, f"{name_of(path)} imports {target}"


def test_no_modules_import_each_other_in_a_cycle():
    graph = {name_of(path): imported_modules(path) - {name_of(path)} for path in MODULES}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


def test_routes_do_not_import_each_other():
    for path in (ROOT / "app" / "routes").glob("*.py"):
        imported = below(imported_modules(path), "app.routes") - {
            "app.routes",
            "app.routes.parameters",
            "app.routes.options",
            name_of(path),
        }
        assert not imported, f"{name_of(path)} imports {imported}"


@pytest.mark.parametrize("folder", sorted({path.parent for path in MODULES}), ids=lambda f: str(f.relative_to(ROOT)))
def test_no_folder_has_more_than_12_modules(folder):
    assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= 12


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_imports_main(path):
    if name_of(path) not in ("app.__main__", "app.commands.serve"):
        assert not below(imports(path), "app.main")


@pytest.mark.parametrize("path", [p for p in MODULES if name_of(p).startswith("app")], ids=name_of)
def test_the_environment_is_read_only_in_settings(path):
    if name_of(path) != "app.settings":
        assert "os.environ" not in path.read_text().replace('os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")', "")
        assert "getenv" not in path.read_text()


@pytest.mark.parametrize("path", [p for p in MODULES if name_of(p).startswith("training")], ids=name_of)
def test_training_uses_only_what_knows_nothing_of_serving(path):
    allowed = ("app.inference", "app.teach", "app.learn.attention", "app.learn.memory", "app.errors")
    imported = below(imports(path), "app")
    assert all(name == "app" or any(below({name}, folder) for folder in allowed) for name in imported)


def test_the_service_starts_without_tensorflow_and_without_the_onnx_package():
    code = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras", "onnx", "matplotlib", "sklearn", "h5py", "tqdm"):
            raise ImportError(name + " must not be imported")
sys.meta_path.insert(0, Refuse())
import app.main, app.__main__, app.inference.networks.engines.onnx_engine
import onnxruntime
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
