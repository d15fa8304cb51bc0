"""What an export's boxes become: the highest confidence of the class "cat"."""

import numpy as np
import pytest
from onnx import TensorProto
from PIL import Image

from benchmarks.boxes import CAT, GREY, Layout, detector, layout, letterbox, onnx_detector
from tests.benchmarks.exports import CELLS, COLUMNS, SIDE, export, jpeg
from training.errors import TrainingError

ROWS = np.zeros((1, CELLS, 5 + 80), np.float32)
ROWS[0, 3, [4, 5 + CAT]] = 0.5, 0.8  # a thing that may be a cat: 0.4
ROWS[0, 7, [4, 5 + CAT]] = 0.9, 0.3  # 0.27
ROWS[0, 8, [4, 5 + CAT + 1]] = 1.0, 1.0  # a dog
CHOSEN = np.float32([[[1, 2, 3, 4, 0.9, CAT + 1], [1, 2, 3, 4, 0.6, CAT], [1, 2, 3, 4, 0.7, CAT]]])
HEAT = np.zeros((1, 80, 8, 8), np.float32)
HEAT[0, CAT, 2, 3], HEAT[0, CAT + 1, 4, 4] = 0.35, 0.99
OUTPUTS = {
    "rows, one box a cell": (ROWS, 0.4),
    "rows, three boxes a cell": (np.tile(ROWS, (1, 3, 1)), 0.4),
    "columns": (COLUMNS, 0.75),
    "chosen boxes": (CHOSEN, 0.7),
    "chosen boxes, no cat": (CHOSEN[:, :1], 0.0),
    "heat map": (HEAT, 0.35),
}


# From boxes to a score


@pytest.mark.parametrize(("output", "expected"), OUTPUTS.values(), ids=OUTPUTS)
def test_the_score_is_the_highest_confidence_of_the_class_cat(output, expected):
    found = detector(export(output), "made", None)
    assert found.side == SIDE
    assert found.score(jpeg()) == pytest.approx(expected)


def test_the_shape_of_the_output_tells_what_the_pixels_should_be():
    yolox, yolov5, yolov8 = (layout(shape, SIDE) for shape in ((1, 21, 85), (1, 63, 85), (1, 84, 21)))
    assert (yolox.top, yolox.blue_first, yolox.top_left) == (255, True, True)
    assert (yolov5.top, yolov5.blue_first, yolov5.top_left) == (1, False, False)
    assert (yolov8.top, yolov8.blue_first, yolov8.top_left) == (1, False, False)


@pytest.mark.parametrize("shape", [(1, 21, 6 + 5), (1, 80), (2, 84, 21), (1, 20, 85), (1, 12, 8, 8)])
def test_an_output_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match="is not known for an input of 32 by 32"):
        layout(shape, SIDE)


def test_the_pixels_reach_the_detector_in_the_range_of_its_family():
    found = detector(export(COLUMNS, brightness=True), "made", None)
    assert found.score(jpeg(255)) == pytest.approx(0.75)
    assert found.score(jpeg(204)) == pytest.approx(0.75 * 0.8, abs=0.01)


# Letterbox


def test_a_photo_keeps_its_shape_in_the_middle_of_grey():
    pixels = letterbox(Image.new("RGB", (40, 20), (255, 0, 0)), SIDE, Layout(255, max))
    assert (pixels.shape, pixels.dtype) == ((1, 3, SIDE, SIDE), np.float32)
    assert (pixels[0, :, :8] == GREY).all()
    assert (pixels[0, :, 24:] == GREY).all()
    assert (pixels[0, 0, 8:24] == 255).all()
    assert (pixels[0, 1:, 8:24] == 0).all()


def test_a_photo_for_yolox_lies_at_the_top_left_with_blue_first():
    pixels = letterbox(Image.new("RGB", (20, 40), (255, 0, 0)), SIDE, Layout(255, max, blue_first=True, top_left=True))
    assert (pixels[0, 2, :, :16] == 255).all()
    assert (pixels[0, 0, :, :16] == 0).all()
    assert (pixels[0, :, :, 16:] == GREY).all()


def test_pixels_can_go_from_0_to_1():
    assert letterbox(Image.new("RGB", (5, 5), (255, 255, 255)), SIDE, Layout(1, max)).max() == 1


def test_a_photo_that_is_almost_a_line_keeps_a_pixel():
    assert letterbox(Image.new("RGB", (500, 1), (255, 255, 255)), SIDE, Layout(255, max)).max() == 255


# What is refused

REFUSED = {
    "no ONNX": (b"no model", "is no detector that is known here"),
    "another output": (
        export(np.zeros((1, 10), np.float32)),
        "an output of shape [1, 10] is not known for an input of 32 by 32",
    ),
    "half precision": (export(COLUMNS, kind=TensorProto.FLOAT16), "its input is a tensor(float16) of [1, 3, 32, 32]"),
    "channels last": (export(COLUMNS, (1, SIDE, SIDE, 3)), "not a tensor(float) of [1, 3, 32, 32]"),
    "no sigmoid": (export(COLUMNS * 20), "it gives a confidence of 15, which is not between 0 and 1"),
}


@pytest.mark.parametrize(("model", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_is_no_known_detector_is_one_line(tmp_path, model, reason):
    (tmp_path / "model.onnx").write_bytes(model)
    with pytest.raises(TrainingError) as refused:
        onnx_detector(tmp_path / "model.onnx", None)
    assert str(refused.value).startswith(f"{tmp_path}/model.onnx is no detector that is known here: ")
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_side_that_an_export_does_not_have_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="not a tensor\\(float\\) of \\[1, 3, 64, 64\\]"):
        detector(export(COLUMNS), "made", 64)
