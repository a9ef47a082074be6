"""K-means for several k, against the quintile rule of RFM and against k-means on other scales.

Customers are halved at random, again and again. A candidate is fitted on one half and measured on
the other; refitted on the other, the two must agree on whom they put together. The later spending
is looked at only when all is fitted. Of the stable k, the simplest within one standard error of the
best silhouette is served.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.training import Candidate, Examples, Fitted
from slipway.training.selection import fold_error, simplest_within_error
from slipway.training.tabular import export_onnx
from slipway.training.validation import mean_over_folds

from .metrics import explained
from .model import SEGMENTS, Customer, Segment, features, name, segments

QUINTILES = (0.2, 0.4, 0.6, 0.8)
Labels = Callable[[np.ndarray], np.ndarray]


def kmeans(k: int, seed: int, *between: object) -> Pipeline:
    """Of logarithms (rows, 3); `between` stand before the clustering, and may change the scale."""
    return make_pipeline(
        StandardScaler(), *between, KMeans(k, n_init=10, tol=1e-6, random_state=seed)
    )


def quintile_rule(numbers: np.ndarray, groups: int) -> Labels:
    """The rule of direct marketing (Hughes 1994): a score of 1 to 5 each for recency, frequency and
    money, by the quintiles of `numbers` (rows, 3); their sum is cut into `groups` equal spans.

    Who stands on an edge scores below it: one order, which 36 % have, is the first edge itself.
    """
    edges = np.quantile(numbers, QUINTILES, axis=0)

    def labels(asked: np.ndarray) -> np.ndarray:
        recency, frequency, money = (
            np.digitize(column, edge, right=True)
            for column, edge in zip(asked.T, edges.T, strict=True)
        )
        total = (4 - recency) + frequency + money
        return np.asarray(total * groups // 13)

    return labels


def candidates(most: int, kept: int, seed: int) -> dict[str, Callable[[np.ndarray], Labels]]:
    """By name, what fits labels on logarithms (rows, 3); other scales for `kept` segments."""
    pipelines = {f"kmeans_{k}": kmeans(k, seed) for k in range(2, most + 1)} | {
        "kmeans_no_log": make_pipeline(FunctionTransformer(np.expm1), kmeans(kept, seed)),
        "kmeans_pca": kmeans(kept, seed, PCA(2)),
    }
    found: dict[str, Callable[[np.ndarray], Labels]]
    found = {"baseline": partial(quintile_rule, groups=kept)}
    return found | {label: partial(clustered, each) for label, each in pipelines.items()}


def clustered(pipeline: Pipeline, numbers: np.ndarray) -> Labels:
    return clone(pipeline).fit(numbers).predict  # type: ignore[no-any-return]


def silhouette(points: np.ndarray, labels: np.ndarray, centres: np.ndarray) -> float:
    """The simplified silhouette (Hruschka, de Castro and Campello 2004), -1 to 1.

    Of points (rows, 3) and the centres (segments, 3) of the segments that have any: how much
    nearer the own centre is than the nearest other, as a share of the larger distance.
    """
    rows = np.arange(len(points))
    distances = np.linalg.norm(points[:, None] - centres[None], axis=2)
    own = distances[rows, labels]
    distances[rows, labels] = np.inf
    other = distances.min(axis=1)
    return float(np.mean((other - own) / np.maximum(own, other)))


def measured(
    teach: Callable[[np.ndarray], Labels],
    numbers: np.ndarray,
    spent: np.ndarray,
    halves: np.ndarray,
) -> dict[str, float]:
    """Averages over `halves` (repeats, rows) bool, each taught on one half and held to the other.

    Every candidate is measured on one scale: standardized logarithms.
    """
    found = []
    for half in halves:
        scaler = StandardScaler().fit(numbers[half])
        points = scaler.transform(numbers)
        told, other = teach(numbers[half])(numbers), teach(numbers[~half])(numbers)
        kinds, own = np.unique(told, return_inverse=True)
        centres = np.stack([points[half & (told == kind)].mean(axis=0) for kind in kinds])
        found.append(
            {
                "silhouette": silhouette(points[~half], own[~half], centres),
                "stability": float(adjusted_rand_score(told, other)),
                "inertia": float(((points - centres[own])[~half] ** 2).sum(axis=1).mean()),
                "spending_explained": explained(told[~half], spent[~half]),
                "smallest_share": float(np.bincount(own).min() / len(own)),
            }
        )
    # Each repeat scores one half; the halves of further repeats hold the same customers again, so
    # the error does not shrink with the repeats (Nadeau and Bengio 2003).
    error = fold_error([each["silhouette"] for each in found], folds=1)
    return mean_over_folds(found, "silhouette") | {"silhouette_se": error}


def fit(
    *,
    train: Examples[Customer, float],
    weights: Path,
    seed: int,
    repeats: int,
    most: int,
    least: int,
    least_stability: float,
) -> Fitted:
    """Choose k by silhouette among k-means with `least` to `most` segments that are stable.

    Raises:
        ValueError: none is as stable as `least_stability`.
    """
    numbers, spent = features(train.records)["numbers"], np.array(train.truths)
    rng = np.random.default_rng(seed)
    halves = np.stack([rng.permutation(len(numbers)) < len(numbers) // 2 for _ in range(repeats)])
    with threadpool_limits(limits=1):
        tried = [
            Candidate(label, measured(teach, numbers, spent, halves))
            for label, teach in candidates(most, least, seed).items()
        ]
        # Simpler is fewer segments.
        fit_for_use = {f"kmeans_{k}": k for k in range(least, most + 1)}
        stable = [
            each
            for each in tried
            if each.name in fit_for_use and each.metrics["stability"] >= least_stability
        ]
        if not stable:
            raise ValueError(f"no k from {least} to {most} is stable to {least_stability}")
        chosen = simplest_within_error(stable, "silhouette", best="highest").name
        best = kmeans(fit_for_use[chosen], seed).fit(numbers)
    about = profiled(best, numbers, spent)
    export_onnx(best, {"numbers": 3}, weights)
    (weights / SEGMENTS).write_text(json.dumps(about, indent=1) + "\n")

    def native(customers: list[Customer]) -> list[Segment]:
        return segments(best.transform(features(customers)["numbers"]), about)

    return Fitted(tried, chosen, native)


def profiled(best: Pipeline, numbers: np.ndarray, spent: np.ndarray) -> dict[str, Any]:
    """What is told of each segment; those of one name are numbered, the most worth first."""
    labels, centres = best.predict(numbers), best[-1].cluster_centers_
    told: dict[int, dict[str, Any]] = {}
    for place in np.argsort(-(centres[:, 1] + centres[:, 2])).tolist():
        kind, after = name(centres[place]), spent[labels == place]
        twins = sum(each["kind"] == kind for each in told.values())
        told[place] = {
            "segment": f"{kind} {twins + 1}" if twins else kind,
            "kind": kind,
            "share_buying": float((after > 0).mean()),
            "spent_after": float(after.mean()),
        }
    own = best.transform(numbers).min(axis=1)
    ordered = [told[place] for place in range(len(centres))]
    return {"segments": ordered, "usual_distance": float(np.quantile(own, 0.99))}
