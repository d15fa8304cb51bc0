"""Second step: an upright RGB image comes in, the network's input tensor goes out.

Only this module resizes photos, in training and in serving: libraries resize differently, by more than a network tolerates
(TensorFlow's default and Pillow's bilinear differ by 13/255 on average).
"""

import numpy as np
from PIL import Image


def to_tensor(image: Image.Image, height: int, width: int) -> np.ndarray:
    """Stretch an RGB image to `height` x `width`: (1, height, width, 3) float32, 0..255.

    The whole photo is used; its aspect ratio changes. Bilinear with antialiasing: each output pixel averages all the input
    pixels that it covers.
    """
    return to_pixels(image, height, width)[np.newaxis].astype(np.float32)


def to_pixels(image: Image.Image, height: int, width: int) -> np.ndarray:
    """The same pixels before conversion to float: (height, width, 3) uint8."""
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
