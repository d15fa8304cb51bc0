"""Requests of every kind for photos, and what each must be answered."""

import base64
import io
import json
import random
from collections.abc import Sequence

import numpy as np
import pillow_heif

from benchmarks import photos
from benchmarks.clients import BOUNDARY, FORM, form
from tests.conftest import encoded
from tests.faults.clients import posted, request, tiny
from tests.faults.service import MODEL


def heic(image) -> bytes:
    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file, quality=80)
    return file.getvalue()


def json_of_base64(photo: bytes) -> bytes:
    return json.dumps({"inputs": base64.b64encode(photo).decode()}).encode()


def batch(several: Sequence[bytes]) -> bytes:
    """Photos as parts of one form."""
    end = f"--{BOUNDARY}--\r\n".encode()
    return b"".join(form(photo, "files").removesuffix(end) for photo in several) + end


def tensor(image) -> bytes:
    """A photo as the Open Inference Protocol has it, for a network with an input of 100 by 100."""
    data = np.asarray(image.resize((100, 100)), np.float32).ravel().tolist()
    return json.dumps({"inputs": [{"name": "image", "shape": [1, 100, 100, 3], "datatype": "FP32", "data": data}]}).encode()


class Mix:
    """Requests with photos, drawn by weight; what each must be answered."""

    def __init__(self, image) -> None:
        small, web = tiny(image), photos.web()
        kinds = [encoded(image.resize((100, 75)), kind) for kind in ("PNG", "WEBP", "GIF", "BMP")]
        caged = [heic(image.resize((100, 75))), *(encoded(image.resize((100, 75)), kind) for kind in ("TIFF", "AVIF"))]
        broken = [small[: len(small) // 2], b"no photo", small[:300]]
        self._drawn: list[tuple[bytes, int | None]] = []
        self._weights: list[float] = []
        self.paths: set[str] = set()

        def add(weight: float, path: str, bodies: Sequence[bytes], kind: str = "", *, refused: bool = False) -> None:
            """Photos to be sent as forms, or bodies of another kind."""
            self.paths.add(path.split("?")[0])
            for data in bodies:
                request_bytes = posted(path, data, kind) if kind else request(data, path)
                self._drawn.append((request_bytes, None if refused else 200))
                self._weights.append(weight / len(bodies))

        for network in ("dense", "tutorial"):
            add(25, f"/predict?network={network}&feature_maps=none", [small, *kinds])
            add(4, f"/predict?network={network}&feature_maps=none", web)
            add(4, f"/predict?network={network}&feature_maps=none", caged)
            add(3, f"/predict?network={network}&feature_maps=summary", [small])
            add(1, f"/predict?network={network}&heatmap=true", [small, *web])
            add(1, f"/feature-maps?network={network}", [small])
            add(1, f"/explain/unit?network={network}&stage=scores&channel=1", [small, *web])
            add(1, f"/explain/stage?network={network}&stage=scores", [small])
            add(3, f"/predict?network={network}", broken, refused=True)
            add(1, f"/classify?network={network}", [small, *kinds], "image/jpeg")
            add(0.5, f"/classify?network={network}", [json_of_base64(small)], "application/json")
            add(0.5, f"/predict/batch?network={network}", [batch([small, *broken, *kinds])], FORM)
            version = json.loads((MODEL / network / "contract.json").read_text())["version"]
            for path in (f"/v2/models/{network}/infer", f"/v2/models/{network}/versions/{version}/infer"):
                add(0.2, path, [tensor(image)], "application/json")
        add(10, "/predict?network=cat&feature_maps=none", [small, *web])
        add(0.5, "/predict?network=cat&heatmap=true", web)
        add(0.5, "/feature-maps?network=cat&stages=block4", [small])
        add(0.5, "/explain/unit?network=cat&stage=stem&row=3&column=4&channel=5", [small])
        add(0.2, "/feature-maps/block1_conv?network=tutorial", [small])
        add(0.1, "/guises", [small])

    def draw(self, source: random.Random) -> tuple[bytes, int | None]:
        return source.choices(self._drawn, self._weights)[0]
