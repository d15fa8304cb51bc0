"""MLServer: a custom runtime with adaptive batching and parallel workers; base64 in JSON in, two probabilities out.

Its settings are environment variables (benchmarks/peers/servers.py), the documented stand-in for model-settings.json.
MLServer speaks the V2 protocol only; in its REST form bytes travel as base64 text in JSON.
"""

import numpy as np
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.peers import work


class Cat(MLModel):
    """load and predict, as a custom runtime has them; each of the parallel workers has one."""

    async def load(self) -> bool:
        """Load the network, once in each worker."""
        self.work = work.load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """A batch of photos, which MLServer gathered into one request, or one photo where batching is off."""
        photos = Base64Codec.decode_input(payload.inputs[0])
        probabilities = self.work.probabilities(np.stack([self.work.tensor(photo) for photo in photos]))
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output(name="probabilities", payload=probabilities)]
        )
