"""Which kind of iris is this flower, where nobody has named the kinds?

Data: 149 different flowers, measured by Anderson in 1935; their three species are set aside.
Task: clustering; the species only score what was found, by the adjusted Rand index.
Model: a Gaussian density a cluster, as ONNX, from the simplest clustering whose density of unseen
flowers lies within one standard error of the best. A flower falls in the cluster that most probably
gave it.
Limits: three species from two places. Clusters are numbered by petal length and have no names: a
flower of a fourth species falls in one of them, and only `outlier` may tell.
"""

import json
from pathlib import Path

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish

LENGTHS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
# Of flowers like those trained on one in fifty is called an outlier.
RARE = 0.02


class Flower(Record):
    """The four lengths of a flower, in centimetres."""

    sepal_length: float = Field(gt=0, le=20)
    sepal_width: float = Field(gt=0, le=20)
    petal_length: float = Field(gt=0, le=20)
    petal_width: float = Field(gt=0, le=20)


class Membership(Record):
    """Where a flower belongs, and how sure that is."""

    cluster: int = Field(ge=1, description="Counted from the one of the shortest petals")
    probability: float = Field(ge=0, le=1, description="Of this cluster against the others")
    distance: float = Field(
        ge=0, description="From the cluster's centre, in its own spreads (Mahalanobis)"
    )
    typicality: float = Field(
        ge=0, le=1, description="Share of known flowers that lie in no denser a place"
    )
    outlier: bool = Field(description="Unlike nearly all known flowers, whatever the cluster")


def features(flowers: list[Flower]) -> dict[str, np.ndarray]:
    """Lengths (rows, 4) float32, in centimetres."""
    lengths = [[getattr(flower, name) for name in LENGTHS] for flower in flowers]
    return {"numbers": np.array(lengths, dtype=np.float32).reshape(-1, len(LENGTHS))}


def memberships(logs: np.ndarray, distances: np.ndarray, known: np.ndarray) -> list[Membership]:
    """From joint log densities and distances (rows, clusters).

    `known` holds, rising, the log densities of flowers that the clustering had not seen.
    """
    logs = logs.astype(np.float64)
    highest = logs.max(axis=1, keepdims=True)
    shares = np.exp(logs - highest)
    total = shares.sum(axis=1)
    density = highest[:, 0] + np.log(total)
    # Linear between the known ones: a step would turn rounding into a difference of a flower.
    typical = np.interp(density, known, np.linspace(0, 1, len(known)))
    best = logs.argmax(axis=1)
    return [
        Membership(
            cluster=int(cluster) + 1,
            probability=float(shares[row, cluster] / total[row]),
            distance=float(distances[row, cluster]),
            typicality=float(typical[row]),
            outlier=bool(typical[row] < RARE),
        )
        for row, cluster in enumerate(best)
    ]


class IrisClusters(OnnxModel):
    explained = "typicality"

    def load(self, weights: Path) -> None:
        super().load(weights)
        self._known = np.array(json.loads((weights / "known.json").read_text()))

    def predict(self, model_input: list[Flower]) -> list[Membership]:
        told = self.run(features(model_input))
        return memberships(told["logs"], told["distances"], self._known)


publish(IrisClusters())
