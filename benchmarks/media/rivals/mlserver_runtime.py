"""An MLServer runtime: BYTES tensors of the Open Inference Protocol, which MLServer joins."""

import numpy as np
from mlserver import MLModel  # type: ignore[import-not-found]
from mlserver.codecs import NumpyCodec, StringCodec  # type: ignore[import-not-found]
from mlserver.types import InferenceRequest, InferenceResponse  # type: ignore[import-not-found]

from benchmarks.media.rivals.pictures import best, decode, open_session


class Pictures(MLModel):
    async def load(self) -> bool:
        self.session = open_session()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        texts = StringCodec.decode_input(payload.inputs[0])
        kinds, probabilities = best(self.session, np.stack([decode(each) for each in texts]))
        return InferenceResponse(
            model_name=self.name,
            outputs=[
                NumpyCodec.encode_output("kind", kinds),
                NumpyCodec.encode_output("probability", probabilities),
            ],
        )
