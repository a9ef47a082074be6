"""Which kind of iris is this flower, where nobody has named the kinds?

Data: 149 different flowers, measured by Anderson in 1935; their three species are set aside.
Task: clustering; the species only serve to score the clusters, by the adjusted Rand index.
Model: one Gaussian density per cluster, as ONNX, from the simplest clustering whose log density of
unseen flowers lies within one standard error of the best. A flower belongs to its most probable
cluster.
Limits: three species from two places. Clusters are numbered by petal length and have no names. A
flower of a fourth species gets one of these clusters; only `outlier` can reveal it.
"""

import json
from pathlib import Path

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish

LENGTHS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
# One in fifty flowers like those in training counts as an outlier.
RARE = 0.02


class Flower(Record):
    """The four lengths of a flower, in centimetres."""

    sepal_length: float = Field(gt=0, le=20)
    sepal_width: float = Field(gt=0, le=20)
    petal_length: float = Field(gt=0, le=20)
    petal_width: float = Field(gt=0, le=20)


class Membership(Record):
    """The cluster of a flower, and how certain it is."""

    cluster: int = Field(ge=1, description="1 has the shortest petals")
    probability: float = Field(ge=0, le=1, description="Of this cluster among all clusters")
    distance: float = Field(ge=0, description="Mahalanobis distance from the cluster's centre")
    typicality: float = Field(
        ge=0, le=1, description="Share of known flowers whose density is not higher"
    )
    outlier: bool = Field(description="Less typical than 98 in 100 known flowers")


def features(flowers: list[Flower]) -> dict[str, np.ndarray]:
    """Return lengths (rows, 4) float32, in centimetres."""
    lengths = [[getattr(flower, name) for name in LENGTHS] for flower in flowers]
    return {"numbers": np.array(lengths, dtype=np.float32).reshape(-1, len(LENGTHS))}


def memberships(logs: np.ndarray, distances: np.ndarray, known: np.ndarray) -> list[Membership]:
    """Return memberships from joint log densities and distances (rows, clusters).

    `known` holds log densities of flowers that the clustering had not seen, in ascending order.
    """
    logs = logs.astype(np.float64)
    highest = logs.max(axis=1, keepdims=True)
    shares = np.exp(logs - highest)
    total = shares.sum(axis=1)
    density = highest[:, 0] + np.log(total)
    # Interpolated: with steps, a rounding error could change the result by a whole flower.
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
        outputs = self.run(features(model_input))
        return memberships(outputs["logs"], outputs["distances"], self._known)


publish(IrisClusters())
