"""What tutorials copy: FastAPI, Pillow and Keras' `model.predict`; an upload in, two probabilities out.

.peers/fastapi_keras/bin/python -m uvicorn benchmarks.peers.fastapi_keras:app --port 8123
"""

import keras
import numpy as np
from fastapi import FastAPI, UploadFile
from PIL import Image

from app.inference.networks import pooling  # noqa: F401  makes Keras know the layer that the saved network names
from benchmarks.peers import work

app = FastAPI()
model = keras.saving.load_model(work.MODEL / "model.keras", compile=False)


@app.post("/predict")
def predict(file: UploadFile) -> dict[str, float]:
    """A form's photo, in one of the threads that FastAPI keeps for plain functions."""
    image = Image.open(file.file).convert("RGB").resize((work.SIDE, work.SIDE))
    batch = np.expand_dims(np.asarray(image, dtype=np.float32), 0)
    return work.named(model.predict(batch, verbose=0)[0])
