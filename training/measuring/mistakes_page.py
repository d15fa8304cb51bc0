"""The photos that a network got wrong come in; a page to look at them goes out, one HTML file that needs no other."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import ImageOps

from app.inference.decode import decode

SIDE = 240
"""Largest height and width in pixels of a photo on the page."""

STYLE = """body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; }
ol { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1.5rem; }
ol { padding: 0; list-style: none; }
img { display: block; max-width: 100%; margin-bottom: .4rem; }
code { font-size: .8em; color: #666; overflow-wrap: anywhere; }"""


def write(
    title: str,
    paths: list[Path],
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    order: np.ndarray,
    out: Path,
) -> None:
    """Write the page: each photo with its file, what it shows, and what the network said.

    Args:
        title: names the network and the set.
        paths: of all photos of the set.
        probabilities: (n, k).
        labels: (n,) class indices, the truth.
        classes: k names.
        order: indices of the photos to show, the worst first.
        out: of the page.
    """
    items = []
    for row in order:
        answer = int(np.argmax(probabilities[row]))
        said = f"{classes[labels[row]]}, said {classes[answer]} {probabilities[row, answer]:.3f}"
        caption = f"{html.escape(said)}<br><code>{html.escape(str(paths[row]))}</code>"
        items.append(f'<li><img alt="" src="data:image/jpeg;base64,{_thumbnail(paths[row])}">{caption}</li>')
    shown = f"{len(items)} of {len(paths)} photos that are answered wrongly, the worst first."
    wrong = shown if items else "No photo is answered wrongly."
    heading = html.escape(title)
    out.write_text(
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{heading}</title>\n<style>\n{STYLE}\n</style>\n'
        f"<h1>{heading}</h1>\n<p>{wrong}</p>\n<ol>\n" + "\n".join(items) + "\n</ol>\n</html>\n",
        encoding="utf-8",
    )


def _thumbnail(path: Path) -> str:
    picture = io.BytesIO()
    ImageOps.contain(decode(path.read_bytes()).image.convert("RGB"), (SIDE, SIDE)).save(picture, "JPEG", quality=80)
    return base64.b64encode(picture.getvalue()).decode()
