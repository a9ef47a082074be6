"""A LitServe server: setup, decode, predict and encode, one worker."""

import os

import litserve  # type: ignore[import-not-found]
import numpy as np

from benchmarks.model.model import Diagnosis, Tumour, diagnoses, features
from benchmarks.rivals.session import malignancy, open_session


class Cancer(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.session = open_session()

    def decode_request(self, request: Tumour) -> np.ndarray:
        return features([request])

    def predict(self, x: np.ndarray) -> np.ndarray:
        return malignancy(self.session, x)

    def encode_response(self, output: np.ndarray) -> Diagnosis:
        return diagnoses(output)[0]


if __name__ == "__main__":
    server = litserve.LitServer(Cancer(), accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["BENCHMARK_PORT"]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
