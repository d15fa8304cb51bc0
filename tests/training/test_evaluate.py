"""Two networks on small sets: the figures against the service's own answers."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from app.inference.explain.guises import GUISES
from app.inference.networks import contract
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.predict import PredictOptions, predict
from tests.conftest import encoded
from training import evaluate as module
from training.errors import TrainingError, run
from training.measuring import metrics, plots
from training.measuring.answers import measure
from training.measuring.disguises import DISGUISES
from training.measuring.report import table
from training.tasks.evaluate import evaluate

NAMES = ("tutorial", "dense")


pytestmark = pytest.mark.usefixtures("few_resamples")


@pytest.fixture(scope="module")
def networks(model_dir, tmp_path_factory) -> list[Path]:
    """Folders of two exported networks, copied so that figures may be written into them."""
    folder = tmp_path_factory.mktemp("evaluated")
    return [Path(shutil.copytree(model_dir / name, folder / name)) for name in NAMES]


@pytest.fixture(scope="module")
def sets(photos, tmp_path_factory) -> dict[str, Path]:
    """Two sets: `mixed` of ten cats and six others, `few` of two and three."""
    folder = tmp_path_factory.mktemp("sets")
    choices = {"mixed": {"cat": slice(0, 10), "not_cat": slice(0, 6)}, "few": {"cat": slice(10, 12), "not_cat": slice(6, 9)}}
    for name, classes in choices.items():
        for label, part in classes.items():
            (folder / name / label).mkdir(parents=True)
            for path in sorted((photos / label).iterdir())[part]:
                shutil.copy(path, folder / name / label)
    return {name: folder / name for name in choices}


@pytest.fixture(scope="module")
def results(networks, sets) -> dict[str, dict]:
    return evaluate(networks, sets, list(sets))


@pytest.fixture
def network_copy(networks, tmp_path) -> Path:
    """A copy of the tutorial network's folder that a test may write other figures into."""
    return Path(shutil.copytree(networks[0], tmp_path / "tutorial"))


@pytest.fixture(params=NAMES)
def network_metrics(request, results) -> dict:
    """The metrics of each network."""
    return results[request.param]


def served(folder: Path, photos: Path) -> tuple[np.ndarray, np.ndarray]:
    """What the service answers for each photo of a set, and whether it is a cat."""
    network = OnnxNetwork(contract.load(folder))
    files = sorted((photos / "cat").iterdir()) + sorted((photos / "not_cat").iterdir())
    answers = [predict(path.read_bytes(), network, PredictOptions(feature_maps="none")) for path in files]
    return np.array([a.probabilities["cat"] for a in answers]), np.array([p.parent.name == "cat" for p in files])


# The figures


@pytest.mark.parametrize("name", ["mixed", "few"])
def test_the_probabilities_are_the_services_own(networks, sets, name):
    together = measure([OnnxNetwork(contract.load(folder)) for folder in networks], sets[name], name)
    for folder, one in zip(networks, together, strict=True):
        cat, is_cat = served(folder, sets[name])
        assert np.array_equal(one.cat[0], cat)
        assert np.array_equal(one.is_cat, is_cat)


@pytest.mark.parametrize("name", ["mixed", "few"])
@pytest.mark.parametrize("index", [0, 1], ids=NAMES)
def test_accuracy_recall_and_false_alarms_are_counted_from_the_services_answers(networks, sets, results, name, index):
    cat, is_cat = served(networks[index], sets[name])
    measured = results[NAMES[index]]["sets"][name]
    assert measured["accuracy"]["value"] == pytest.approx(((cat > 0.5) == is_cat).mean(), abs=5e-5)
    assert measured["recall"]["value"] == pytest.approx((cat > 0.5)[is_cat].mean(), abs=5e-5)
    assert measured["false_alarm_rate"]["value"] == pytest.approx((cat > 0.5)[~is_cat].mean(), abs=5e-5)


@pytest.mark.parametrize("index", [0, 1], ids=NAMES)
def test_unsure_is_counted_from_the_services_verdicts(networks, sets, results, index):
    network = contract.load(networks[index])
    cat, _ = served(networks[index], sets["mixed"])
    verdicts = [network.verdict({"cat": float(p), "not_cat": 1 - float(p)}) for p in cat]
    assert results[NAMES[index]]["sets"]["mixed"]["unsure"]["value"] == pytest.approx(
        verdicts.count("unsure") / 16, abs=5e-5
    )


def test_every_figure_states_its_interval_and_its_count(network_metrics):
    for name, figures in network_metrics["sets"].items():
        for measure_name in ("accuracy", "recall", "false_alarm_rate", "roc_auc", "average_precision", "calibration_error"):
            figure = figures[measure_name]
            assert set(figure) == {"value", "low", "high", "count"}, (name, measure_name)
            assert figure["low"] <= figure["high"]


def test_every_set_states_how_many_photos_and_cats_it_has(network_metrics):
    counted = {name: (figures["photos"], figures["cat"]) for name, figures in network_metrics["sets"].items()}
    assert counted == {"mixed": (16, 10), "few": (5, 2), "pooled": (21, 12)}


def test_the_confusion_matrix_has_a_row_for_each_truth(network_metrics):
    for name, (cats, others) in {"mixed": (10, 6), "few": (2, 3)}.items():
        assert [sum(row) for row in network_metrics["sets"][name]["confusion"]] == [cats, others]


def test_the_confusion_matrix_adds_up_to_the_accuracy(network_metrics):
    for figures in network_metrics["sets"].values():
        (hits, _), (_, passed) = figures["confusion"]
        assert figures["accuracy"]["value"] == pytest.approx((hits + passed) / figures["photos"], abs=5e-5)


def test_pooled_holds_all_photos_of_the_sets(networks, sets, results):
    for index, name in enumerate(NAMES):
        cat, is_cat = (
            np.concatenate(parts) for parts in zip(*(served(networks[index], s) for s in sets.values()), strict=True)
        )
        expected = metrics.figures(cat, is_cat, contract.load(networks[index]).unsure)
        pooled = results[name]["sets"]["pooled"]
        for measure_name in ("accuracy", "roc_auc", "calibration_error"):
            assert pooled[measure_name]["value"] == expected[measure_name].value


def test_pooled_names_the_sets_it_is_made_of(network_metrics):
    assert network_metrics["sets"]["pooled"]["of"] == ["mixed", "few"]


def test_only_the_named_sets_are_pooled(network_copy, sets):
    assert evaluate([network_copy], sets, ["few"])["tutorial"]["sets"]["pooled"]["photos"] == 5


def test_accuracy_is_measured_in_every_disguise(network_metrics):
    for figures in network_metrics["sets"].values():
        assert list(figures["guises"]) == list(DISGUISES)
        assert {guise["count"] for guise in figures["guises"].values()} == {figures["photos"]}


def test_the_original_guise_is_the_accuracy(network_metrics):
    for figures in network_metrics["sets"].values():
        assert figures["guises"]["original"] == figures["accuracy"]


def test_a_guise_is_what_the_service_answers_for_the_disguised_photo(networks, sets):
    network = OnnxNetwork(contract.load(networks[0]))
    (measured,) = measure([network], sets["few"], "few")
    for index, path in enumerate(measured.paths):
        with Image.open(path) as image:
            mirrored = encoded(ImageOps.mirror(image.convert("RGB")), "PNG")
        answer = predict(mirrored, network, PredictOptions(feature_maps="none"))
        assert measured.cat[list(GUISES).index("mirrored"), index] == answer.probabilities["cat"]


# What is written


def test_metrics_json_holds_what_is_returned(networks, results):
    for folder in networks:
        assert json.loads((folder / "metrics.json").read_text()) == json.loads(json.dumps(results[folder.name]))


def test_the_metrics_name_the_network_that_was_measured(networks, results):
    for folder in networks:
        expected = contract.load(folder)
        entry = results[folder.name]
        assert (entry["version"], entry["sha256"], entry["parameters"]) == (
            expected.version, expected.files["model.onnx"], expected.parameters
        )  # fmt: skip


@pytest.mark.parametrize("name", ["diagrams.png", "mistakes/mixed.png", "mistakes/few.png"])
def test_diagrams_and_mistakes_are_pngs(networks, results, name):
    for folder in networks:
        with Image.open(folder / name) as picture:
            picture.load()
            assert picture.format == "PNG"


def mistakes(paths: list[Path], cat: np.ndarray, sheet: Path) -> None:
    """The sheet for photos of cats with these probabilities of a cat."""
    probabilities = np.stack([cat, 1 - cat], axis=1)
    plots.mistakes(paths, probabilities, np.zeros(len(cat), int), ("cat", "not_cat"), sheet)


def test_the_sheet_of_mistakes_has_a_row_for_every_ten_mistakes(tmp_path, photos):
    paths = sorted((photos / "cat").iterdir())[:11]
    mistakes(paths, np.zeros(11), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (1500, 2 * 166)


def test_a_photo_that_is_answered_correctly_is_not_on_the_sheet(tmp_path, photos):
    paths = sorted((photos / "cat").iterdir())[:3]
    mistakes(paths, np.full(3, 0.9), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.convert("L").getextrema() == (255, 255)


def test_the_worst_mistake_comes_first(tmp_path):
    for colour in ("red", "lime"):
        Image.new("RGB", (20, 20), colour).save(tmp_path / f"{colour}.png")
    paths = [tmp_path / "red.png", tmp_path / "lime.png"]
    mistakes(paths, np.array([0.4, 0.1]), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert [sheet.getpixel((x, 75)) for x in (75, 225)] == [(0, 255, 0), (255, 0, 0)]


# The table


def rows_of(text: str, name: str) -> list[list[str]]:
    """A set's rows in the first table; the first of them names the set."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.split("\n\n")[0].splitlines()]
    first = next(index for index, row in enumerate(rows) if row[0].startswith(f"{name}, "))
    after = [index for index, row in enumerate(rows) if index > first and row[0]]
    return rows[first : min(after, default=len(rows))]


@pytest.mark.parametrize("name", ["mixed", "few", "pooled"])
def test_the_table_has_a_row_for_each_set_and_network(results, name):
    assert [row[1] for row in rows_of(table(results), name)] == list(results)


def test_other_models_are_listed_below_the_networks(results):
    figure = {"value": 0.25, "low": 0.125, "high": 0.5, "count": 4}
    measured = dict.fromkeys(("accuracy", "recall", "false_alarm_rate", "roc_auc"), figure)
    references = {"models": {"cascade": ""}, "sets": {"few": {"photos": 5, "cascade": measured}}}
    rows = rows_of(table(results, references), "few")
    assert rows[-1] == ["", "cascade", "0.250 (0.125–0.500)", "0.250", "0.250", "0.250", "–", "–", "–"]
    assert len(rows_of(table(results, references), "mixed")) == len(results)


def test_every_row_of_a_table_has_as_many_cells_as_its_header(results):
    for part in table(results).split("\n\n"):
        assert len({line.count("|") for line in part.splitlines()}) == 1


def test_the_table_has_a_row_for_each_guise(results):
    rows = [line.split(" | ")[0].strip("| ") for line in table(results).splitlines()]
    assert [row for row in rows if row.replace(" ", "_") in DISGUISES] == [name.replace("_", " ") for name in DISGUISES]


def test_the_table_gives_a_sets_accuracy_with_its_interval(results):
    for name, row in zip(results, rows_of(table(results), "mixed"), strict=True):
        figure = results[name]["sets"]["mixed"]["accuracy"]
        assert row[2] == f"{figure['value']:.3f} ({figure['low']:.3f}–{figure['high']:.3f})"


# What can go wrong


def test_a_broken_photo_is_named_and_left_out(networks, sets, tmp_path, capsys, cat_photo):
    folder = Path(shutil.copytree(sets["few"], tmp_path / "few"))
    (folder / "cat" / "half.png").write_bytes(cat_photo[:3000])
    (measured,) = measure([OnnxNetwork(contract.load(networks[0]))], folder, "few")
    assert len(measured.is_cat) == measured.cat.shape[1] == len(measured.paths) == 5
    assert f"skipped {folder / 'cat' / 'half.png'}" in capsys.readouterr().err


def test_a_broken_photo_shifts_no_other_photos_answer(networks, sets, tmp_path, cat_photo):
    folder = Path(shutil.copytree(sets["few"], tmp_path / "few"))
    (folder / "cat" / "0.png").write_bytes(cat_photo[:3000])
    network = OnnxNetwork(contract.load(networks[0]))
    (with_it,), (without,) = measure([network], folder, "few"), measure([network], sets["few"], "few")
    assert np.array_equal(with_it.cat, without.cat)


def test_a_set_of_nothing_but_broken_photos_is_refused(networks, tmp_path):
    for name in ("cat", "not_cat"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").write_bytes(b"nothing")
    with pytest.raises(TrainingError, match=r"no photo below .* can be read"):
        evaluate(networks, {"broken": tmp_path}, ["broken"])


def test_a_set_with_one_broken_class_is_measured_without_an_auc(network_copy, sets, tmp_path):
    folder = Path(shutil.copytree(sets["few"], tmp_path / "few"))
    for path in (folder / "not_cat").iterdir():
        path.write_bytes(b"nothing")
    figures = evaluate([network_copy], {"few": folder}, ["few"])["tutorial"]["sets"]["few"]
    assert (figures["photos"], figures["roc_auc"], figures["false_alarm_rate"]) == (2, None, None)


def command_error(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str:
    """The line that the command ends with."""
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        run(module.main)
    assert isinstance(stop.value.code, str)
    assert "\n" not in stop.value.code
    return stop.value.code


@pytest.mark.parametrize("text", ["photos", "=photos", "pooled=photos"])
def test_a_set_without_a_name_is_reported_in_one_line(monkeypatch, networks, text):
    assert f"--set {text} must look like" in command_error(monkeypatch, networks[0], "--set", text)


def test_a_missing_folder_of_photos_is_reported_in_one_line(monkeypatch, networks, tmp_path):
    assert "nowhere is not a folder" in command_error(monkeypatch, networks[0], "--set", f"a={tmp_path / 'nowhere'}")


def test_a_folder_without_a_network_is_reported_in_one_line(monkeypatch, tmp_path, sets):
    assert "contract.json cannot be read" in command_error(monkeypatch, tmp_path, "--set", f"a={sets['few']}")


def test_a_pool_of_an_unknown_set_is_reported_in_one_line(monkeypatch, networks, sets):
    answer = command_error(monkeypatch, networks[0], "--set", f"a={sets['few']}", "--pool", "a,b")
    assert "--pool names b, which is no --set" in answer


def test_a_network_whose_file_was_changed_is_refused(monkeypatch, network_copy, sets):
    with (network_copy / "model.onnx").open("ab") as file:
        file.write(b"x")
    assert "its contract says" in command_error(monkeypatch, network_copy, "--set", f"a={sets['few']}")


def test_a_name_given_to_two_sets_is_refused(monkeypatch, network_copy, sets):
    assert "--set a" in command_error(monkeypatch, network_copy, "--set", f"a={sets['few']}", "--set", f"a={sets['mixed']}")


def test_the_command_prints_the_table(monkeypatch, capsys, network_copy, sets):
    monkeypatch.setattr(sys, "argv", ["evaluate", str(network_copy), "--set", f"few={sets['few']}"])
    module.main()
    assert capsys.readouterr().out.startswith("| set | network | accuracy | recall")
