"""K-means for several k, against the quintile rule of RFM and against k-means on other scales.

Customers are halved at random, again and again. A candidate is fitted on one half and measured on
the other; refitted on the other, the two must agree on whom they put together. The later spending
is looked at only when all is fitted.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.training import Candidate, Evaluation, Examples, Fitted, plots
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
        scores = np.stack(
            [np.digitize(asked[:, i], edges[:, i], right=True) for i in range(3)], axis=1
        )
        total = (4 - scores[:, 0]) + scores[:, 1] + scores[:, 2]
        return np.asarray(total * groups // 13)

    return labels


def candidates(most: int, kept: int, seed: int) -> dict[str, Callable[[np.ndarray], Labels]]:
    """By name, what fits labels on logarithms (rows, 3); other scales for `kept` segments."""

    def clustered(k: int, *between: object) -> Callable[[np.ndarray], Labels]:
        return lambda numbers: kmeans(k, seed, *between).fit(numbers).predict

    def plain(numbers: np.ndarray) -> Labels:
        unlogged = make_pipeline(FunctionTransformer(np.expm1), kmeans(kept, seed))
        return unlogged.fit(numbers).predict  # type: ignore[no-any-return]

    found: dict[str, Callable[[np.ndarray], Labels]] = {
        "baseline": lambda numbers: quintile_rule(numbers, kept)
    }
    found |= {f"kmeans_{k}": clustered(k) for k in range(2, most + 1)}
    return {**found, "kmeans_no_log": plain, "kmeans_pca": clustered(kept, PCA(2))}


def silhouette(points: np.ndarray, labels: np.ndarray, centres: np.ndarray) -> float:
    """The simplified silhouette (Hruschka, de Castro and Campello 2004), -1 to 1.

    Of points (rows, 3) and the centres (segments, 3) of the segments that have any: how much
    nearer the own centre is than the nearest other, as a share of the larger distance.
    """
    rows = np.arange(len(points))
    distances = np.linalg.norm(points[:, None] - centres[None], axis=2)
    own = distances[rows, labels].copy()
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
    found: dict[str, list[float]] = {key: [] for key in ("silhouette", "stability", "inertia")}
    found |= {"spending_explained": [], "smallest_share": []}
    for half in halves:
        scaler = StandardScaler().fit(numbers[half])
        points = scaler.transform(numbers)
        told, other = teach(numbers[half])(numbers), teach(numbers[~half])(numbers)
        kinds, own = np.unique(told, return_inverse=True)
        centres = np.stack([points[half & (told == kind)].mean(axis=0) for kind in kinds])
        found["silhouette"].append(silhouette(points[~half], own[~half], centres))
        found["stability"].append(float(adjusted_rand_score(told, other)))
        found["inertia"].append(float(((points - centres[own])[~half] ** 2).sum(axis=1).mean()))
        found["spending_explained"].append(explained(told[~half], spent[~half]))
        found["smallest_share"].append(float(np.bincount(own).min() / len(own)))
    averages = {key: float(np.mean(values)) for key, values in found.items()}
    return {**averages, "silhouette_std": float(np.std(found["silhouette"]))}


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
    worth = np.argsort(-(centres[:, 1] + centres[:, 2]))
    names: dict[int, str] = {}
    for place in worth.tolist():
        kind = name(centres[place])
        twins = sum(each.partition(" ")[0] == kind for each in names.values())
        names[place] = f"{kind} {twins + 1}" if twins else kind
    told = [
        {
            "segment": names[place],
            "kind": name(centres[place]),
            "share_buying": float((spent[labels == place] > 0).mean()),
            "spent_after": float(spent[labels == place].mean()),
        }
        for place in range(len(centres))
    ]
    own = best.transform(numbers).min(axis=1)
    return {"segments": told, "usual_distance": float(np.quantile(own, 0.99))}


def score(*, answers: list[Segment], truths: list[float]) -> dict[str, float]:
    """`silhouette` is the simplified one, which is the mean `sureness`; the others look at what the
    segments' customers did in the 90 days after."""
    labels, spent = np.array([each.segment for each in answers]), np.array(truths)
    bought = [float((spent[labels == label] > 0).mean()) for label in np.unique(labels)]
    expected = np.array([each.share_buying for each in answers])
    return {
        "silhouette": float(np.mean([each.sureness for each in answers])),
        "spending_explained": explained(labels, spent),
        "share_buying": float((spent > 0).mean()),
        "share_expected": float(expected.mean()),
        "best_segment_buying": max(bought),
        "worst_segment_buying": min(bought),
        "smallest_share": min(float((labels == label).mean()) for label in np.unique(labels)),
        "unusual": float(np.mean([each.unusual for each in answers])),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield "choice_of_k", choice(evaluation)
    numbers = features(evaluation.test.records)["numbers"]
    labels = np.array([each.segment for each in evaluation.answers])
    order = sorted(set(labels), key=lambda label: -numbers[labels == label, 2].mean())
    yield "plane", plane(features(evaluation.train.records)["numbers"], numbers, labels, order)
    plain = {
        "days since the last purchase": np.expm1(numbers[:, 0]),
        "orders in the year": np.expm1(numbers[:, 1]),
        "pounds in the year": np.expm1(numbers[:, 2]),
    }
    spent = np.array(evaluation.test.truths)
    yield "profiles", profiles(plain, spent, labels, order)


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
        panel.set_xlabel("segments (dotted: chosen)")
        panel.set_title(title)
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
    legend = left.legend(frameon=False, markerscale=4)
    for handle in legend.legend_handles:
        handle.set_alpha(1)  # type: ignore[union-attr]
    left.set_xlabel(f"first component ({pca.explained_variance_ratio_[0]:.0%} of the variance)")
    left.set_ylabel(f"second component ({pca.explained_variance_ratio_[1]:.0%})")
    left.set_title("Customers by segment (test rows)")
    names = [f"{field}, {part}" for part in ("first", "second") for field in ("R", "F", "M")]
    plots.weights(right, names, pca.components_.ravel().tolist(), "What the components weigh")
    return figure


def profiles(
    plain: dict[str, np.ndarray], spent: np.ndarray, labels: np.ndarray, order: list[str]
) -> Figure:
    """Medians of what is known, and what came after, a bar a segment."""
    figure, axes = plots.panels(5, height=2.6)
    figure.set_size_inches(15, 2.6)
    for panel, (title, values) in zip(axes, plain.items(), strict=False):
        medians = [float(np.median(values[labels == label])) for label in order]
        bars(panel, order, medians, f"Median {title}", "{:,.0f}")
    bought = [100 * float((spent[labels == label] > 0).mean()) for label in order]
    bars(axes[3], order, bought, "Bought within 90 days", "{:.0f} %")
    a_head = [float(spent[labels == label].mean()) for label in order]
    bars(axes[4], order, a_head, "Pounds a head after", "{:,.0f}")
    return figure


def bars(axes: Axes, names: list[str], values: list[float], title: str, style: str) -> None:
    drawn = axes.barh(names, values, color=plots.ACCENT)
    axes.bar_label(drawn, [style.format(value) for value in values], fontsize=8, padding=2)
    axes.invert_yaxis()
    axes.margins(x=0.25)
    axes.set_xticks([])
    axes.set_title(title, fontsize=9)
