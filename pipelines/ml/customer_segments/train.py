"""K-means for several k, beside the quintile rule of RFM and k-means on other scales.

Customers are halved at random several times. A candidate is fitted on one half and scored on the
other. It is stable if the fits on both halves agree on which customers belong together. The later
spending is used only to score finished fits. Of the stable k, the simplest within one standard
error of the best silhouette is served.
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

from slipway.features import lineage
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.selection import fold_error, simplest_within_error
from slipway.training.tabular import export_onnx
from slipway.training.validation import mean_over_folds

from .metrics import explained, silhouettes
from .model import SEGMENTS, Customer, CustomerSegments, Segment, features, name, segments
from .quintiles import QUINTILES, QuintileRule, ranges

Labels = Callable[[np.ndarray], np.ndarray]


def kmeans(k: int, seed: int, *between: object) -> Pipeline:
    """Return a pipeline that clusters logarithms (rows, 3).

    The steps `between` come before the clustering, and may change the scale.
    """
    return make_pipeline(
        StandardScaler(), *between, KMeans(k, n_init=10, tol=1e-6, random_state=seed)
    )


def quintile_rule(numbers: np.ndarray, groups: int) -> Labels:
    """Return the groups of the quintile rule, fitted on `numbers` (rows, 3)."""
    edges = np.quantile(numbers, QUINTILES, axis=0)
    return lambda rows: ranges(rows, edges, groups)


def candidates(most: int, kept: int, seed: int) -> dict[str, Callable[[np.ndarray], Labels]]:
    """Return functions by name that fit a clustering on logarithms (rows, 3).

    The baseline and the candidates on other scales have `kept` segments.
    """
    pipelines = {f"kmeans_{k}": kmeans(k, seed) for k in range(2, most + 1)} | {
        "kmeans_no_log": make_pipeline(FunctionTransformer(np.expm1), kmeans(kept, seed)),
        "kmeans_pca": kmeans(kept, seed, PCA(2)),
    }
    rule: dict[str, Callable[[np.ndarray], Labels]]
    rule = {"baseline": partial(quintile_rule, groups=kept)}
    return rule | {label: partial(fit_clusters, each) for label, each in pipelines.items()}


def fit_clusters(pipeline: Pipeline, numbers: np.ndarray) -> Labels:
    return clone(pipeline).fit(numbers).predict  # type: ignore[no-any-return]


def validate(
    fit_labels: Callable[[np.ndarray], Labels],
    numbers: np.ndarray,
    spent: np.ndarray,
    halves: np.ndarray,
) -> dict[str, float]:
    """Return mean metrics over `halves` (repeats, rows) bool.

    Each repeat is fitted on one half and scored on the other. Every candidate is scored on the same
    scale, standardized logarithms.
    """
    repeats = []
    for half in halves:
        scaler = StandardScaler().fit(numbers[half])
        points = scaler.transform(numbers)
        labels, other = fit_labels(numbers[half])(numbers), fit_labels(numbers[~half])(numbers)
        kinds, own = np.unique(labels, return_inverse=True)
        centres = np.stack([points[half & (labels == kind)].mean(axis=0) for kind in kinds])
        repeats.append(
            {
                "silhouette": float(silhouettes(points[~half], own[~half], centres).mean()),
                "stability": float(adjusted_rand_score(labels, other)),
                "inertia": float(((points - centres[own])[~half] ** 2).sum(axis=1).mean()),
                "spending_explained": explained(labels[~half], spent[~half]),
                "smallest_share": float(np.bincount(own).min() / len(own)),
            }
        )
    # All repeats use the same customers, so the error does not shrink with the number of repeats
    # (Nadeau and Bengio 2003).
    error = fold_error([each["silhouette"] for each in repeats], folds=1)
    return mean_over_folds(repeats, "silhouette") | {"silhouette_se": error}


def fit(
    *,
    train: LabelledRows[Customer, float],
    weights: Path,
    seed: int,
    repeats: int,
    most: int,
    least: int,
    least_stability: float,
) -> Fitted:
    """Choose k by silhouette among the stable k-means with `least` to `most` segments.

    Raises:
        ValueError: none reaches `least_stability`.
    """
    numbers, spent = features(train.records)["numbers"], np.array(train.labels)
    rng = np.random.default_rng(seed)
    halves = np.stack([rng.permutation(len(numbers)) < len(numbers) // 2 for _ in range(repeats)])
    with threadpool_limits(limits=1):
        tried = [
            Candidate(label, validate(fit_labels, numbers, spent, halves))
            for label, fit_labels in candidates(most, least, seed).items()
        ]
        # From the simplest to the most complex: fewer segments are simpler.
        allowed = {f"kmeans_{k}": k for k in range(least, most + 1)}
        stable = [
            each
            for each in tried
            if each.name in allowed and each.metrics["stability"] >= least_stability
        ]
        if not stable:
            raise ValueError(f"no k from {least} to {most} has a stability of {least_stability}")
        chosen = simplest_within_error(stable, "silhouette", best="highest").name
        best = kmeans(allowed[chosen], seed).fit(numbers)
    # The number of groups with which the baseline was compared.
    rule = QuintileRule.fit(numbers.astype(np.float64), least)
    about = profile_segments(best, numbers, spent) | {"rule": rule.to_json()}
    export_onnx(best, {"numbers": 3}, weights)
    (weights / SEGMENTS).write_text(json.dumps(about, indent=1) + "\n")
    assert CustomerSegments.looked_up is not None
    lineage.write(CustomerSegments.looked_up.service, weights)

    def framework_predict(customers: list[Customer]) -> list[Segment]:
        inputs = features(customers)["numbers"]
        return segments(inputs, best.transform(inputs), about)

    return Fitted(tried, chosen, framework_predict)


def profile_segments(best: Pipeline, numbers: np.ndarray, spent: np.ndarray) -> dict[str, Any]:
    """Return the content of segments.json; segments with the same name are numbered by worth."""
    labels, centres = best.predict(numbers), best[-1].cluster_centers_
    profiles: dict[int, dict[str, Any]] = {}
    for place in np.argsort(-(centres[:, 1] + centres[:, 2])).tolist():
        kind, after = name(centres[place]), spent[labels == place]
        twins = sum(each["kind"] == kind for each in profiles.values())
        profiles[place] = {
            "segment": f"{kind} {twins + 1}" if twins else kind,
            "kind": kind,
            "share_buying": float((after > 0).mean()),
            "spent_after": float(after.mean()),
            "relative_buying": relative(after > 0, spent > 0),
            "relative_spending": relative(after, spent),
        }
    own = best.transform(numbers).min(axis=1)
    ordered = [profiles[place] for place in range(len(centres))]
    return {"segments": ordered, "usual_distance": float(np.quantile(own, 0.99))}


def relative(part: np.ndarray, whole: np.ndarray) -> float:
    """Return the mean of `part` divided by that of `whole`; 0 if nobody bought."""
    return float(part.mean() / whole.mean()) if whole.any() else 0.0
