"""K-means for several k, against the quintile rule of RFM and against k-means on other scales.

Customers are halved at random, again and again. A candidate is fitted on one half and measured on
the other; refitted on the other, the two must agree on whom they put together. The later spending
is looked at only when all is fitted.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.training import Candidate, Evaluation, Examples, Fitted, measures, plots
from slipway.training.tabular import export_onnx

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


def explained(labels: np.ndarray, spent: np.ndarray) -> float:
    """The share of the variance of log(1 + later spending) (rows,) that lies between segments."""
    log = np.log1p(spent)
    if not log.var():
        return 0.0
    means = {label: log[labels == label].mean() for label in np.unique(labels)}
    return float(np.var([means[label] for label in labels]) / log.var())


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
    return measures.over_folds(found, "silhouette")


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
    """The best silhouette among k-means with `least` to `most` segments that are stable.

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
        fit_for_use = {f"kmeans_{k}": k for k in range(least, most + 1)}
        stable = [
            each
            for each in tried
            if each.name in fit_for_use and each.metrics["stability"] >= least_stability
        ]
        if not stable:
            raise ValueError(f"no k from {least} to {most} is stable to {least_stability}")
        chosen = max(stable, key=lambda each: each.metrics["silhouette"]).name
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


def score(*, answers: list[Segment], truths: list[float]) -> dict[str, float]:
    """`silhouette` is the simplified one, which is the mean `sureness`; the others look at what the
    segments' customers did in the 90 days after."""
    labels, spent = np.array([each.segment for each in answers]), np.array(truths)
    after = [spent[labels == label] for label in np.unique(labels)]
    bought = [float((each > 0).mean()) for each in after]
    return {
        "silhouette": float(np.mean([each.sureness for each in answers])),
        "spending_explained": explained(labels, spent),
        "share_buying": float((spent > 0).mean()),
        "share_expected": float(np.mean([each.share_buying for each in answers])),
        "best_segment_buying": max(bought),
        "worst_segment_buying": min(bought),
        "smallest_share": min(len(each) for each in after) / len(spent),
        "unusual": float(np.mean([each.unusual for each in answers])),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield "choice_of_k", choice(evaluation)
    numbers = features(evaluation.test.records)["numbers"]
    labels = np.array([each.segment for each in evaluation.answers])
    order = sorted(set(labels), key=lambda label: -numbers[labels == label, 2].mean())
    yield "plane", plane(features(evaluation.train.records)["numbers"], numbers, labels, order)
    yield "profiles", profiles(numbers, np.array(evaluation.test.truths), labels, order)


def choice(evaluation: Evaluation) -> Figure:
    """The elbow, the silhouette and the stability for each k."""
    figure, axes = plots.panels(3, height=3)
    tried = {each.name: each.metrics for each in evaluation.candidates}
    ks = [k for k in range(2, 30) if f"kmeans_{k}" in tried]
    titles = {
        "inertia": "Elbow: squared distance to the centre",
        "silhouette": "Simplified silhouette",
        "stability": "Stability: Rand index of two halves",
    }
    for panel, (metric, title) in zip(axes, titles.items(), strict=True):
        values = [tried[f"kmeans_{k}"][metric] for k in ks]
        panel.plot(ks, values, color=plots.ACCENT, marker="o")
        panel.axvline(int(evaluation.chosen.rpartition("_")[2]), color=plots.PALE, linestyle=":")
        panel.set(xlabel="segments (dotted: chosen)", title=title)
    return figure


def plane(train: np.ndarray, numbers: np.ndarray, labels: np.ndarray, order: list[str]) -> Figure:
    """Test customers on the first two principal components of the training customers."""
    scaler = StandardScaler().fit(train)
    pca = PCA(2).fit(scaler.transform(train))
    figure, (left, right) = plots.panels(2, height=4)
    places = pca.transform(scaler.transform(numbers))
    for label in order:
        mine = labels == label
        left.scatter(places[mine, 0], places[mine, 1], s=4, alpha=0.4, linewidths=0, label=label)
    legend = left.legend(markerscale=4)
    for handle in legend.legend_handles:
        handle.set_alpha(1)  # type: ignore[union-attr]
    left.set_xlabel(f"first component ({pca.explained_variance_ratio_[0]:.0%} of the variance)")
    left.set_ylabel(f"second component ({pca.explained_variance_ratio_[1]:.0%})")
    left.set_title("Customers by segment (test rows)")
    names = [f"{field}, {part}" for part in ("first", "second") for field in ("R", "F", "M")]
    plots.weights(right, names, pca.components_.ravel(), "What the components weigh")
    return figure


def profiles(
    numbers: np.ndarray, spent: np.ndarray, labels: np.ndarray, order: list[str]
) -> Figure:
    """Medians of what is known, and what came after, a bar a segment."""
    known = ("days since the last purchase", "orders in the year", "pounds in the year")
    plain = pd.DataFrame(np.expm1(numbers), columns=[f"Median {each}" for each in known])
    table = plain.groupby(labels).median()
    table["Bought within 90 days"] = 100 * pd.Series(spent > 0).groupby(labels).mean()
    table["Pounds a head after"] = pd.Series(spent).groupby(labels).mean()
    figure, axes = plots.panels(5, height=2.6)
    figure.set_size_inches(15, 2.6)
    for panel, (title, values) in zip(axes, table.loc[order].items(), strict=True):
        form = "{:.0f} %" if title == "Bought within 90 days" else "{:,.0f}"
        plots.bars(panel, order, values.tolist(), lying=True, form=form, size=8)
        panel.margins(x=0.25)
        panel.set_xticks([])
        panel.set_title(str(title), fontsize=9)
    return figure
