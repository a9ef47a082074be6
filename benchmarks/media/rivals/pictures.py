"""Decoding and prediction as all compared servers do them."""

import base64
import io
import os

import numpy as np
import PIL.Image

from benchmarks.rivals.session import open_session as open_session

BATCH = int(os.environ.get("BENCHMARK_BATCH", "1"))
"""The most pictures of one call; 1 is without batches."""
# The longest that a server which has a timer waits for more requests.
WAIT_SECONDS = 0.002


def decode(text: str | bytes) -> np.ndarray:
    """Return the pixels (224, 224, 3) of a picture in base64."""
    picture = PIL.Image.open(io.BytesIO(base64.b64decode(text)))
    return np.asarray(picture.convert("RGB"))


def best(session, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]
    """Return the most probable kind and its probability, (rows,) each."""
    probabilities = session.run(["probabilities"], {"pixels": pixels})[0]
    return probabilities.argmax(axis=1), probabilities.max(axis=1)
