"""An MLServer runtime over the session: tensors of the Open Inference Protocol."""

from mlserver import MLModel  # type: ignore[import-not-found]
from mlserver.codecs import NumpyCodec  # type: ignore[import-not-found]
from mlserver.types import InferenceRequest, InferenceResponse  # type: ignore[import-not-found]

from benchmarks.rivals.session import malignancy, open_session


class Cancer(MLModel):
    async def load(self) -> bool:
        self.session = open_session()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        numbers = NumpyCodec.decode_input(payload.inputs[0])
        probabilities = malignancy(self.session, numbers)
        return InferenceResponse(
            model_name=self.name,
            outputs=[
                NumpyCodec.encode_output("malignant", probabilities >= 0.5),
                NumpyCodec.encode_output("probability", probabilities),
            ],
        )
