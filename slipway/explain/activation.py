"""Class-activation maps: the share of each position of a network's last layer in a label's logit.

A classifier that pools globally computes the logit of a label as the mean over the positions of its
last layer, so the positions' shares add up to the logit exactly, and one prediction supplies all of
them. Unlike Shapley values they say which positions the network added up, not what would become of
the prediction without them (Zhou et al., https://arxiv.org/abs/1512.04150).
"""

from typing import Protocol, runtime_checkable

import numpy as np
from pydantic import Field

from slipway.contract.model import Model
from slipway.contract.record import Record


@runtime_checkable
class PoolsGlobally(Protocol):
    """A model with class-activation maps."""

    def activation_maps(self, record: Record) -> dict[str, np.ndarray]:
        """Return each label's map (rows, columns), the mean of which is the label's logit."""


class ActivationMap(Record):
    """The logit of one label, divided among the positions of the network's last layer."""

    label: str
    logit: float = Field(description="The sum of all cells")
    cells: list[list[float]] = Field(description="Each position's share, by rows from the top")


def activation_map(model: Model, record: Record, label: str) -> ActivationMap | None:
    """Return the map of `label`; None if the model does not pool globally or has no such label."""
    maps = model.activation_maps(record) if isinstance(model, PoolsGlobally) else {}
    if label not in maps:
        return None
    found = np.asarray(maps[label], dtype=np.float64)
    shares = (found / found.size).tolist()
    return ActivationMap(label=label, logit=float(found.mean()), cells=shares)
