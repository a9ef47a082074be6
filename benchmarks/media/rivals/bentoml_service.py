"""A BentoML service; with batches, its dispatcher collects the requests' lists into one."""

import bentoml
import numpy as np
from pydantic import BaseModel

from benchmarks.media.rivals.pictures import BATCH, best, decode, open_session


class Kind(BaseModel):
    """The most probable kind."""

    kind: int
    probability: float


@bentoml.service(name="pictures", workers=1, logging={"access": {"enabled": False}})
class Pictures:
    def __init__(self) -> None:
        self.session = open_session()

    @bentoml.api(batchable=BATCH > 1, max_batch_size=max(BATCH, 2))
    def classify(self, images: list[str]) -> list[Kind]:
        kinds, probabilities = best(self.session, np.stack([decode(each) for each in images]))
        pairs = zip(kinds.tolist(), probabilities.tolist(), strict=True)
        return [Kind(kind=kind, probability=probability) for kind, probability in pairs]
