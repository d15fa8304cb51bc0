"""A photo and a running service come in; docs/answer.png, the picture of an answer in the README, goes out.

.venv/bin/python docs/draw_answer.py examples/chelsea.png
"""

import base64
import io
import sys
from pathlib import Path

import httpx2
from PIL import Image, ImageDraw, ImageFont

SERVICE = "http://localhost:8000"
SIDE, GAP, PAPER, INK, QUIET = 104, 10, "white", "#1d1d1f", "#6e6e73"


def main() -> None:
    """Ask the service about the photo and draw what it answers."""
    photo = Path(sys.argv[1])
    query = {"heatmap": "true", "channels": 3}
    answer = httpx2.post(f"{SERVICE}/predict", params=query, files={"file": photo.read_bytes()}).raise_for_status().json()
    stages = [m for m in answer["feature_maps"] if len(m["shape"]) == 3]
    canvas = Image.new("RGB", (340 + -(-len(stages) // 3) * (SIDE + GAP) * 3 // 2 + 40, 470), PAPER)
    draw = ImageDraw.Draw(canvas)
    original = Image.open(photo).convert("RGB")
    original.thumbnail((310, 310))
    heat = picture(answer["heatmap"]).convert("RGBA").resize(original.size)
    canvas.paste(Image.alpha_composite(original.convert("RGBA"), heat).convert("RGB"), (20, 20))
    percent = answer["probabilities"]["cat"] * 100
    sentence = {"cat": "There is a cat in this photo.", "not_cat": "No cat in this photo.", "unsure": "I am not sure."}
    below = original.height + 36
    draw.text((20, below), sentence[answer["verdict"]], INK, ImageFont.load_default(21))
    draw.text(
        (20, below + 32),
        f"{percent:.1f} % cat, says network {answer['model']['network']}",
        QUIET,
        ImageFont.load_default(15),
    )
    draw.text((20, below + 54), "orange: where the evidence lies", QUIET, ImageFont.load_default(15))
    for place, stage in enumerate(stages):
        column, row = place // 3, place % 3
        draw_stage(canvas, draw, stage, 350 + column * (SIDE + GAP) * 3 // 2, 20 + row * (SIDE + 42))
    canvas.save(Path(__file__).parent / "answer.png", optimize=True)


def draw_stage(canvas: Image.Image, draw: ImageDraw.ImageDraw, stage: dict, x: int, y: int) -> None:
    """A stage's name and size above its strongest channel, with a strip of the next two beside it."""
    shape = "x".join(map(str, stage["shape"]))
    draw.text((x, y), stage["stage"], INK, ImageFont.load_default(13))
    draw.text((x, y + 15), shape, QUIET, ImageFont.load_default(11))
    for number, channel in enumerate(stage["channels"]):
        side = SIDE if number == 0 else (SIDE - 4) // 2
        image = picture(channel["thumbnail"]).convert("RGB").resize((side, side), Image.Resampling.NEAREST)
        place = (x, y + 30) if number == 0 else (x + SIDE + 4, y + 30 + (number - 1) * (side + 4))
        canvas.paste(image, place)


def picture(uri: str) -> Image.Image:
    """The image in a PNG data URI."""
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


if __name__ == "__main__":
    main()
