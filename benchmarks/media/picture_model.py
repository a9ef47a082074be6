"""A classifier of pictures with untrained weights, to measure servers."""

from typing import Annotated

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish
from slipway.media import Image, decode_image


class Photo(Record):
    """A picture of 224 x 224 pixels."""

    image: Annotated[bytes, Image(max_side=224, min_side=224)]


class Kind(Record):
    """The most probable kind."""

    kind: int = Field(ge=0, lt=10)
    probability: float = Field(ge=0, le=1)


class Pictures(OnnxModel):
    def predict(self, model_input: list[Photo]) -> list[Kind]:
        pixels = np.stack([decode_image(each.image) for each in model_input])
        probabilities = self.run({"pixels": pixels})["probabilities"]
        return Kind.from_columns(
            kind=probabilities.argmax(axis=1), probability=probabilities.max(axis=1)
        )


publish(Pictures())
