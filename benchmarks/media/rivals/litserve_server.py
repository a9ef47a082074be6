"""A LitServe server: decode, batch, predict, unbatch and encode, one worker."""

import os

import litserve  # type: ignore[import-not-found]
import numpy as np
from pydantic import BaseModel

from benchmarks.media.rivals.pictures import BATCH, WAIT_SECONDS, best, decode, open_session


class Photo(BaseModel):
    """A picture in base64."""

    image: str


class Pictures(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.session = open_session()

    def decode_request(self, request: Photo) -> np.ndarray:
        return decode(request.image)

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        return np.stack(inputs)

    def predict(self, x: np.ndarray) -> list[dict[str, float]]:
        kinds, probabilities = best(self.session, x if BATCH > 1 else x[None])
        pairs = zip(kinds.tolist(), probabilities.tolist(), strict=True)
        return [{"kind": kind, "probability": probability} for kind, probability in pairs]

    def unbatch(self, output: list[dict[str, float]]) -> list[dict[str, float]]:
        return output

    def encode_response(self, output: dict[str, float] | list[dict[str, float]]) -> object:
        return output if BATCH > 1 else output[0]  # type: ignore[index]


if __name__ == "__main__":
    batches = {"max_batch_size": BATCH, "batch_timeout": WAIT_SECONDS} if BATCH > 1 else {}
    server = litserve.LitServer(
        Pictures(**batches), accelerator="cpu", workers_per_device=1, fast_queue=True
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ["BENCHMARK_PORT"]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
