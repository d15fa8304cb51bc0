"""Photos come in; composed scenes, in which the cat may be small, hidden, dark or beside a dog, go out with their labels.

Training photos show their cat large and centred; people's uploads do not. So a photo becomes one of three views:

    close    a part of the photo, turned, stretched, mirrored
    pasted   the photo, made small, with soft edges, somewhere in another photo that shows no cat (after Dwibedi et al.
             2017, "Cut, Paste and Learn")
    beside   two photos next to each other, one of which may show a cat

Photos of both classes become each kind of view equally often, so that a small picture inside a scene does not give its
class away. All choices come from one random generator: the same seed gives the same views.
"""

import io
from typing import Protocol

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from training.config import Composition

CAT = 0


class Pixels(Protocol):
    """Photos by index, (S, S, 3) uint8 each: an array of all of them, or an object that reads a file when it is indexed."""

    def __getitem__(self, index: int) -> np.ndarray:
        """The pixels of one photo."""


def compose(
    pixels: Pixels,
    labels: np.ndarray,
    subject: int,
    composition: Composition,
    side: int,
    seed: list[int],
    scenery: np.ndarray | None = None,
) -> tuple[np.ndarray, int]:
    """One view of photo number `subject`.

    Args:
        pixels: all training photos.
        labels: (n,) class indices, 0 is cat.
        subject: whose view it is.
        composition: how often each kind of view is made.
        side: height and width of the view in pixels.
        seed: of all random choices.
        scenery: indices of photos of rooms, streets and gardens, which `composition.scenery` of the pasted photos go into.

    Returns:
        The view, (side, side, 3) uint8, and its class index.
    """
    random = np.random.default_rng(seed)
    kind, other = _kind_and_partner(labels, composition, random, scenery)
    if kind == "pasted":
        scene = _close(_photo(pixels, other), composition, side, random)
        view = _paste(scene, _photo(pixels, subject), composition, side, random)
    elif kind == "beside":
        view = _beside(_photo(pixels, subject), _photo(pixels, other), composition, side, random)
    else:
        view = _close(_photo(pixels, subject), composition, side, random)
    return _worsen(view, composition, random), _label(labels, subject, kind, other)


def plan(
    labels: np.ndarray, subject: int, composition: Composition, seed: list[int], scenery: np.ndarray | None = None
) -> tuple[int, int]:
    """What `compose` makes from the same seed: the index of the second photo, -1 if there is none, and the class index."""
    kind, other = _kind_and_partner(labels, composition, np.random.default_rng(seed), scenery)
    return other, _label(labels, subject, kind, other)


def _label(labels: np.ndarray, subject: int, kind: str, other: int) -> int:
    return CAT if kind == "beside" and labels[other] == CAT else int(labels[subject])


def _kind_and_partner(
    labels: np.ndarray, composition: Composition, random: np.random.Generator, scenery: np.ndarray | None
) -> tuple[str, int]:
    kind = random.random()
    if kind < composition.pasted:
        if scenery is not None and len(scenery) and random.random() < composition.scenery:
            return "pasted", int(random.choice(scenery))
        return "pasted", _without_cat(labels, random)
    if kind < composition.pasted + composition.beside:
        return "beside", int(random.integers(len(labels)))
    return "close", -1


def _photo(pixels: Pixels, index: int) -> Image.Image:
    return Image.fromarray(pixels[index])


def _without_cat(labels: np.ndarray, random: np.random.Generator) -> int:
    while True:
        index = int(random.integers(len(labels)))
        if labels[index] != CAT:
            return index


def _close(photo: Image.Image, composition: Composition, side: int, random: np.random.Generator) -> Image.Image:
    """A part of the photo of at least `closest` of its area (random resized crop, Szegedy et al. 2015), turned."""
    return _part(_turned(photo, composition, random), composition.closest, composition.stretch, (side, side), random)


def _turned(photo: Image.Image, composition: Composition, random: np.random.Generator) -> Image.Image:
    if random.random() < 0.5:
        photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if random.random() < 0.5:
        return photo
    degrees = random.uniform(-composition.rotate, composition.rotate)
    fill = tuple(int(value) for value in random.integers(0, 256, 3)) if random.random() < 0.5 else (127, 127, 127)
    return photo.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=fill)


def _part(
    photo: Image.Image, closest: float, stretch: float, size: tuple[int, int], random: np.random.Generator
) -> Image.Image:
    area = random.uniform(closest, 1.0)
    slant = np.exp(random.uniform(-stretch, stretch) / 2)
    width = min(1.0, np.sqrt(area) * slant) * photo.width
    height = min(1.0, np.sqrt(area) / slant) * photo.height
    left, top = random.uniform(0, photo.width - width), random.uniform(0, photo.height - height)
    return photo.resize(size, Image.Resampling.BILINEAR, (left, top, left + width, top + height))


def _paste(
    scene: Image.Image, photo: Image.Image, composition: Composition, side: int, random: np.random.Generator
) -> Image.Image:
    """The photo, small, somewhere in the scene; mostly with the soft outline of a rounded shape around its middle."""
    share = np.exp(random.uniform(np.log(composition.smallest), np.log(composition.largest)))
    slant = np.exp(random.uniform(-composition.stretch, composition.stretch) / 2)
    size = (max(8, round(side * share * slant)), max(8, round(side * share / slant)))
    small = _part(_turned(photo, composition, random), 0.7, 0.0, size, random)
    mask = _outline(size, random)
    left = int(random.integers(-size[0] // 8, max(1, side - size[0] * 7 // 8)))
    top = int(random.integers(-size[1] // 8, max(1, side - size[1] * 7 // 8)))
    if random.random() < 0.5:  # half of them take on the light of their surroundings
        small = _lit_like(small, scene, (left, top, left + size[0], top + size[1]))
    scene.paste(small, (left, top), mask)
    return scene


def _outline(size: tuple[int, int], random: np.random.Generator) -> Image.Image:
    """A mask between an ellipse and a rectangle, with an edge between hard and wide."""
    width, height = size
    across, down = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    power = random.choice([2.0, 3.0, 8.0, 40.0], p=[0.35, 0.25, 0.2, 0.2])
    distance = (np.abs(across) ** power + np.abs(down) ** power) ** (1 / power)
    softness = random.uniform(0.03, 0.4)
    return Image.fromarray((np.clip((1.0 - distance) / softness, 0, 1) * 255).astype(np.uint8))


def _lit_like(small: Image.Image, scene: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """Halfway to the mean brightness of what it will cover; beyond the scene's edge counts as dark."""
    there = np.asarray(scene.crop(box).convert("L"), np.float32).mean()
    here = np.asarray(small.convert("L"), np.float32).mean()
    return ImageEnhance.Brightness(small).enhance(float(np.clip((there + here) / (2 * here + 1), 0.4, 2.0)))


def _beside(
    one: Image.Image, two: Image.Image, composition: Composition, side: int, random: np.random.Generator
) -> Image.Image:
    """Two photos in one, side by side or one above the other."""
    cut = round(side * random.uniform(0.35, 0.65))
    upright = random.random() < 0.5
    sizes = [(cut, side), (side - cut, side)] if upright else [(side, cut), (side, side - cut)]
    parts = [one, two] if random.random() < 0.5 else [two, one]
    view = Image.new("RGB", (side, side))
    for number, (photo, size) in enumerate(zip(parts, sizes, strict=True)):
        part = _part(_turned(photo, composition, random), 0.7, composition.stretch, size, random)
        view.paste(part, (0, 0) if number == 0 else ((cut, 0) if upright else (0, cut)))
    return view


def _worsen(view: Image.Image, composition: Composition, random: np.random.Generator) -> np.ndarray:
    """What cameras, poor light and publishers do to photos."""
    pick = random.random
    if pick() < composition.blurred:
        if pick() < 0.5:
            view = view.filter(ImageFilter.GaussianBlur(random.uniform(0.5, view.width / 60)))
        else:
            small = round(view.width * random.uniform(0.25, 0.8))
            view = view.resize((small, small), Image.Resampling.BILINEAR).resize(view.size, Image.Resampling.BICUBIC)
    values = np.asarray(view, np.float32)
    light = random.uniform(0.75, 1.25)
    if pick() < composition.dark:
        light *= random.uniform(0.35, 0.75)
    contrast = random.uniform(0.75, 1.25)
    tint = random.uniform(0.9, 1.1, 3).astype(np.float32)
    if pick() < composition.grey:
        values = np.repeat(values @ np.array([[0.299], [0.587], [0.114]], np.float32), 3, axis=2)
        tint = np.ones(3, np.float32) if pick() < 0.7 else tint
    else:
        grey = values.mean(axis=2, keepdims=True)
        values = grey + (values - grey) * np.float32(random.uniform(0.6, 1.4))
    values = ((values - values.mean()) * contrast + values.mean()) * (light * tint)
    if pick() < composition.noisy:
        values = values + random.normal(0, random.uniform(2, 14), values.shape).astype(np.float32)
    if pick() < composition.hidden:
        height, width = (round(view.height * random.uniform(0.15, 0.45)) for _ in range(2))
        top, left = int(random.integers(0, view.height - height)), int(random.integers(0, view.width - width))
        values[top : top + height, left : left + width] = random.uniform(0, 255, 3)
    finished: np.ndarray = values.clip(0, 255).astype(np.uint8)
    if pick() < composition.recoded:
        packed = io.BytesIO()
        Image.fromarray(finished).save(packed, "JPEG", quality=int(random.integers(20, 96)))
        finished = np.asarray(Image.open(packed))
    return finished
