"""Two networks on small sets: the figures against the service's own answers."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from app.inference import contract
from app.inference.guises import GUISES
from app.inference.network import OnnxNetwork
from app.inference.predict import Wanted, predict
from tests.conftest import encoded
from training import evaluate as module
from training import metrics
from training.disguises import DISGUISES
from training.errors import TrainingError, run
from training.evaluate import evaluate, measure, table

NAMES = ("tutorial", "dense")


@pytest.fixture(autouse=True, scope="module")
def _few_resamples():
    """Values do not depend on them, and a thousand for each figure take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "RESAMPLES", 50)
        yield


@pytest.fixture(scope="module")
def networks(model_dir, tmp_path_factory) -> list[Path]:
    """Folders of two exported networks, copied so that figures may be written into them."""
    folder = tmp_path_factory.mktemp("evaluated")
    return [Path(shutil.copytree(model_dir / name, folder / name)) for name in NAMES]


@pytest.fixture(scope="module")
def sets(photos, tmp_path_factory) -> dict[str, Path]:
    """Two sets: `mixed` of ten cats and six others, `few` of two and three."""
    folder = tmp_path_factory.mktemp("sets")
    wanted = {"mixed": {"cat": slice(0, 10), "not_cat": slice(0, 6)}, "few": {"cat": slice(10, 12), "not_cat": slice(6, 9)}}
    for name, classes in wanted.items():
        for label, part in classes.items():
            (folder / name / label).mkdir(parents=True)
            for path in sorted((photos / label).iterdir())[part]:
                shutil.copy(path, folder / name / label)
    return {name: folder / name for name in wanted}


@pytest.fixture(scope="module")
def results(networks, sets) -> dict[str, dict]:
    return evaluate(networks, sets, list(sets))


@pytest.fixture
def own_network(networks, tmp_path) -> Path:
    """A copy of the tutorial network's folder that a test may write other figures into."""
    return Path(shutil.copytree(networks[0], tmp_path / "tutorial"))


@pytest.fixture(params=NAMES)
def found(request, results) -> dict:
    """The metrics of each network."""
    return results[request.param]


def served(folder: Path, photos: Path) -> tuple[np.ndarray, np.ndarray]:
    """What the service answers for each photo of a set, and whether it is a cat."""
    network = OnnxNetwork(contract.load(folder))
    files = sorted((photos / "cat").iterdir()) + sorted((photos / "not_cat").iterdir())
    answers = [predict(path.read_bytes(), network, Wanted(feature_maps="none")) for path in files]
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
@pytest.mark.parametrize("place", [0, 1], ids=NAMES)
def test_accuracy_recall_and_false_alarms_are_counted_from_the_services_answers(networks, sets, results, name, place):
    cat, is_cat = served(networks[place], sets[name])
    measured = results[NAMES[place]]["sets"][name]
    assert measured["accuracy"]["value"] == pytest.approx(((cat > 0.5) == is_cat).mean(), abs=5e-5)
    assert measured["recall"]["value"] == pytest.approx((cat > 0.5)[is_cat].mean(), abs=5e-5)
    assert measured["false_alarm_rate"]["value"] == pytest.approx((cat > 0.5)[~is_cat].mean(), abs=5e-5)


@pytest.mark.parametrize("place", [0, 1], ids=NAMES)
def test_unsure_is_counted_from_the_services_verdicts(networks, sets, results, place):
    promised = contract.load(networks[place])
    cat, _ = served(networks[place], sets["mixed"])
    verdicts = [promised.verdict({"cat": float(p), "not_cat": 1 - float(p)}) for p in cat]
    assert results[NAMES[place]]["sets"]["mixed"]["unsure"]["value"] == pytest.approx(
        verdicts.count("unsure") / 16, abs=5e-5
    )


def test_every_figure_says_its_interval_and_its_count(found):
    for name, figures in found["sets"].items():
        for measure_name in ("accuracy", "recall", "false_alarm_rate", "roc_auc", "average_precision", "calibration_error"):
            figure = figures[measure_name]
            assert set(figure) == {"value", "low", "high", "count"}, (name, measure_name)
            assert figure["low"] <= figure["high"]


def test_every_set_says_how_many_photos_and_cats_it_has(found):
    counted = {name: (figures["photos"], figures["cat"]) for name, figures in found["sets"].items()}
    assert counted == {"mixed": (16, 10), "few": (5, 2), "pooled": (21, 12)}


def test_the_confusion_matrix_has_a_row_for_each_truth(found):
    for name, (cats, others) in {"mixed": (10, 6), "few": (2, 3)}.items():
        assert [sum(row) for row in found["sets"][name]["confusion"]] == [cats, others]


def test_the_confusion_matrix_adds_up_to_the_accuracy(found):
    for figures in found["sets"].values():
        (hits, _), (_, passed) = figures["confusion"]
        assert figures["accuracy"]["value"] == pytest.approx((hits + passed) / figures["photos"], abs=5e-5)


def test_pooled_is_all_photos_of_the_sets_together(networks, sets, results):
    for place, name in enumerate(NAMES):
        cat, is_cat = (
            np.concatenate(parts) for parts in zip(*(served(networks[place], s) for s in sets.values()), strict=True)
        )
        expected = metrics.figures(cat, is_cat, contract.load(networks[place]).unsure)
        pooled = results[name]["sets"]["pooled"]
        for measure_name in ("accuracy", "roc_auc", "calibration_error"):
            assert pooled[measure_name]["value"] == expected[measure_name].value


def test_pooled_says_which_sets_it_is_of(found):
    assert found["sets"]["pooled"]["of"] == ["mixed", "few"]


def test_only_the_named_sets_are_pooled(own_network, sets):
    assert evaluate([own_network], sets, ["few"])["tutorial"]["sets"]["pooled"]["photos"] == 5


def test_accuracy_is_measured_in_every_disguise(found):
    for figures in found["sets"].values():
        assert list(figures["guises"]) == list(DISGUISES)
        assert {guise["count"] for guise in figures["guises"].values()} == {figures["photos"]}


def test_the_original_guise_is_the_accuracy(found):
    for figures in found["sets"].values():
        assert figures["guises"]["original"] == figures["accuracy"]


def test_a_guise_is_what_the_service_answers_for_the_photo_so_disguised(networks, sets):
    network = OnnxNetwork(contract.load(networks[0]))
    (found,) = measure([network], sets["few"], "few")
    for place, path in enumerate(found.paths):
        with Image.open(path) as image:
            mirrored = encoded(ImageOps.mirror(image.convert("RGB")), "PNG")
        answer = predict(mirrored, network, Wanted(feature_maps="none"))
        assert found.cat[list(GUISES).index("mirrored"), place] == answer.probabilities["cat"]


# What is written


def test_metrics_json_holds_what_is_returned(networks, results):
    for folder in networks:
        assert json.loads((folder / "metrics.json").read_text()) == json.loads(json.dumps(results[folder.name]))


def test_the_metrics_name_the_network_that_was_measured(networks, results):
    for folder in networks:
        promised = contract.load(folder)
        said = results[folder.name]
        assert (said["version"], said["sha256"], said["parameters"]) == (
            promised.version, promised.files["model.onnx"], promised.parameters
        )  # fmt: skip


@pytest.mark.parametrize("name", ["diagrams.png", "mistakes/mixed.png", "mistakes/few.png"])
def test_diagrams_and_mistakes_are_pngs(networks, results, name):
    for folder in networks:
        with Image.open(folder / name) as picture:
            picture.load()
            assert picture.format == "PNG"


def test_the_sheet_of_mistakes_has_a_row_for_every_ten(tmp_path, photos):
    paths = sorted((photos / "cat").iterdir())[:11]
    module.pictures.mistakes(paths, np.zeros(11), np.ones(11, bool), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (1500, 2 * 166)


def test_a_photo_that_is_answered_rightly_is_not_on_the_sheet(tmp_path, photos):
    paths = sorted((photos / "cat").iterdir())[:3]
    module.pictures.mistakes(paths, np.full(3, 0.9), np.ones(3, bool), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.convert("L").getextrema() == (255, 255)


def test_the_worst_mistake_comes_first(tmp_path):
    for colour in ("red", "lime"):
        Image.new("RGB", (20, 20), colour).save(tmp_path / f"{colour}.png")
    paths = [tmp_path / "red.png", tmp_path / "lime.png"]
    module.pictures.mistakes(paths, np.array([0.4, 0.1]), np.ones(2, bool), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert [sheet.getpixel((x, 75)) for x in (75, 225)] == [(0, 255, 0), (255, 0, 0)]


# The table


def rows_of(text: str, name: str) -> list[list[str]]:
    """The rows of a set in the first table, the first of which names it."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.split("\n\n")[0].splitlines()]
    first = next(place for place, row in enumerate(rows) if row[0].startswith(f"{name}, "))
    after = [place for place, row in enumerate(rows) if place > first and row[0]]
    return rows[first : min(after, default=len(rows))]


@pytest.mark.parametrize("name", ["mixed", "few", "pooled"])
def test_the_table_has_a_row_for_each_set_and_network(results, name):
    assert [row[1] for row in rows_of(table(results), name)] == list(results)


def test_other_models_stand_below_the_networks(results):
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


def test_the_table_says_a_sets_accuracy_with_its_interval(results):
    for name, row in zip(results, rows_of(table(results), "mixed"), strict=True):
        figure = results[name]["sets"]["mixed"]["accuracy"]
        assert row[2] == f"{figure['value']:.3f} ({figure['low']:.3f}–{figure['high']:.3f})"


# What can go wrong


def test_a_broken_photo_is_named_and_left_out(networks, sets, tmp_path, capsys, cat_photo):
    folder = Path(shutil.copytree(sets["few"], tmp_path / "few"))
    (folder / "cat" / "half.png").write_bytes(cat_photo[:3000])
    (found,) = measure([OnnxNetwork(contract.load(networks[0]))], folder, "few")
    assert len(found.is_cat) == found.cat.shape[1] == len(found.paths) == 5
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


def test_a_set_of_which_one_class_is_broken_is_measured_without_an_auc(own_network, sets, tmp_path):
    folder = Path(shutil.copytree(sets["few"], tmp_path / "few"))
    for path in (folder / "not_cat").iterdir():
        path.write_bytes(b"nothing")
    found = evaluate([own_network], {"few": folder}, ["few"])["tutorial"]["sets"]["few"]
    assert (found["photos"], found["roc_auc"], found["false_alarm_rate"]) == (2, None, None)


def said(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str:
    """The line that the command ends with."""
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        run(module.main)
    assert isinstance(stop.value.code, str)
    assert "\n" not in stop.value.code
    return stop.value.code


@pytest.mark.parametrize("text", ["photos", "=photos", "pooled=photos"])
def test_a_set_without_a_name_is_one_line(monkeypatch, networks, text):
    assert f"--set {text} should look like" in said(monkeypatch, networks[0], "--set", text)


def test_a_missing_folder_of_photos_is_one_line(monkeypatch, networks, tmp_path):
    assert "nowhere is not a folder" in said(monkeypatch, networks[0], "--set", f"a={tmp_path / 'nowhere'}")


def test_a_folder_without_a_network_is_one_line(monkeypatch, tmp_path, sets):
    assert "contract.json cannot be read" in said(monkeypatch, tmp_path, "--set", f"a={sets['few']}")


def test_a_pool_of_an_unknown_set_is_one_line(monkeypatch, networks, sets):
    answer = said(monkeypatch, networks[0], "--set", f"a={sets['few']}", "--pool", "a,b")
    assert "--pool names b, which no --set gives" in answer


def test_a_network_whose_file_was_changed_is_refused(monkeypatch, own_network, sets):
    with (own_network / "model.onnx").open("ab") as file:
        file.write(b"x")
    assert "its contract says" in said(monkeypatch, own_network, "--set", f"a={sets['few']}")


def test_a_name_given_to_two_sets_is_refused(monkeypatch, own_network, sets):
    assert "--set a" in said(monkeypatch, own_network, "--set", f"a={sets['few']}", "--set", f"a={sets['mixed']}")


def test_the_command_prints_the_table(monkeypatch, capsys, own_network, sets):
    monkeypatch.setattr(sys, "argv", ["evaluate", str(own_network), "--set", f"few={sets['few']}"])
    module.main()
    assert capsys.readouterr().out.startswith("| set | network | accuracy | recall")
