"""A mask of pixels as run lengths."""

from typing import Self

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from slipway.contract.record import Record


class Mask(Record):
    """Pixels of a picture: lengths of runs by rows, in turn outside and inside of the mask.

    The first run is outside and may be 0. (COCO's run lengths go by columns.)
    """

    model_config = ConfigDict(json_schema_extra={"x-slipway": {"kind": "mask"}})

    # At most 67 MB when decoded.
    height: int = Field(ge=1, le=8192)
    width: int = Field(ge=1, le=8192)
    counts: list[int]
    label: str = ""
    score: float = Field(default=1, ge=0, le=1)

    @model_validator(mode="after")
    def _covers_the_picture(self) -> Self:
        if any(count < 0 for count in self.counts):
            raise ValueError("counts must not be negative")
        if sum(self.counts) != self.height * self.width:
            raise ValueError("counts must add up to height times width")
        return self

    @classmethod
    def from_array(cls, mask: np.ndarray, label: str = "", score: float = 1) -> Self:
        """Build the record from an array (height, width); every value but 0 is inside.

        Raises:
            ValueError: the array is not of two dimensions, or has a side of 0 or over 8192.
        """
        if mask.ndim != 2:
            raise ValueError(f"a mask is (height, width), got {mask.shape}")
        inside = np.concatenate([[False], np.asarray(mask, dtype=bool).ravel()])
        changes = np.flatnonzero(inside[1:] != inside[:-1])
        counts = np.diff(np.concatenate([[0], changes, [inside.size - 1]])).tolist()
        height, width = mask.shape
        return cls(height=height, width=width, counts=counts, label=label, score=score)

    def array(self) -> np.ndarray:
        """Return the mask, bool (height, width)."""
        inside = np.arange(len(self.counts)) % 2 == 1
        return np.repeat(inside, self.counts).reshape(self.height, self.width)
