import numpy as np
from PIL import Image

from app.inference.decode import decode
from app.inference.tensor import to_tensor
from training.data import dataset


def test_a_tensor_holds_float32_from_0_to_255_in_the_requested_size(cat_image):
    tensor = to_tensor(cat_image, 100, 80)
    assert (tensor.shape, tensor.dtype) == ((1, 100, 80, 3), np.float32)
    assert 0 <= tensor.min() < 40
    assert 200 < tensor.max() <= 255


def test_the_rows_are_the_height():
    image = Image.new("RGB", (40, 20), "black")
    image.paste("white", (0, 0, 40, 10))
    tensor = to_tensor(image, 10, 10)[0]
    assert tensor[0].min() == 255
    assert tensor[-1].max() == 0


def test_shrinking_averages_instead_of_skipping():
    stripes = np.zeros((200, 200, 3), np.uint8)
    stripes[:, ::2] = 255
    tensor = to_tensor(Image.fromarray(stripes), 20, 20)
    assert np.abs(tensor - 127.5).max() < 10, "without antialiasing every pixel would be 0 or 255"


def test_training_and_serving_see_the_same_numbers_bit_for_bit(photo_folder):
    splits, _, _ = dataset.load(photo_folder, 100)
    split = splits["validation"]
    for pixels, path in zip(split.pixels, split.paths, strict=True):
        served = to_tensor(decode(path.read_bytes()).image, 100, 100)[0]
        assert np.array_equal(pixels.astype(np.float32), served)
