"""k-means, four linkages, DBSCAN and Gaussian mixtures, chosen without a look at the species.

Every clustering is read as one Gaussian a cluster, so that any can place a flower that it has not
seen, and all are judged alike: by how likely they hold such flowers. Unlike the silhouette, this
does not presume that clusters are round.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import dendrogram, linkage
from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans
from sklearn.datasets import make_moons
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, homogeneity_score, silhouette_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import RepeatedKFold, ShuffleSplit
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.training import Candidate, Evaluation, Examples, Fitted, plots
from slipway.training.graph import write_graph

from .model import LENGTHS, Flower, Membership, features, memberships

LINKAGES = ("ward", "complete", "average", "single")
COLOURS = ("#0b7189", "#d1793b", "#24323f", "#7a9e7e", "#a44a8b", "#c9a227", "#5b6fb5")
# A point with as many others within reach is inside of a cluster (Ester et al. 1996: 4).
NEIGHBOURS = 4
# As many flowers of the pooled spread are added to each cluster's own: a cluster of two or three,
# as single linkage cuts them off, has no spread in all four directions.
BORROWED = 3.0

Clusterer = Callable[[np.ndarray], np.ndarray]


def tertiles(count: int) -> Clusterer:
    """Equal parts by the length of the sepal: a grouping that looks for nothing."""

    def cut(lengths: np.ndarray) -> np.ndarray:
        order = np.argsort(np.argsort(lengths[:, 0], kind="stable"), kind="stable")
        return order * count // len(lengths)

    return cut


def kmeans(count: int, seed: int, *, scaled: bool = False) -> Clusterer:
    def cluster(lengths: np.ndarray) -> np.ndarray:
        points = lengths / lengths.std(axis=0) if scaled else lengths
        return np.asarray(KMeans(count, n_init=10, random_state=seed).fit_predict(points))

    return cluster


def dbscan(lengths: np.ndarray, share: float = 0.9) -> np.ndarray:
    """Within the radius `share` of the points have four others; -1 is noise, in no cluster."""
    found = NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(lengths).kneighbors(lengths)[0]
    radius = float(np.quantile(found[:, -1], share))
    return np.asarray(DBSCAN(eps=radius, min_samples=NEIGHBOURS + 1).fit_predict(lengths))


def mixture(count: int, seed: int, shape: str) -> Clusterer:
    """Fitted by expectation and maximization (Dempster, Laird and Rubin 1977)."""
    # Lengths are told to a tenth of a centimetre, so no cluster is narrower (0.1 squared).
    found = GaussianMixture(
        count, covariance_type=shape, n_init=3, reg_covar=1e-2, random_state=seed
    )
    return lambda lengths: np.asarray(found.fit_predict(lengths))


def clusterers(count: int, seed: int) -> dict[str, Clusterer]:
    """By name; labels from 0. Lengths are all in centimetres, so they are not scaled but once."""
    return {
        "baseline": tertiles(count),
        "kmeans": kmeans(count, seed),
        "kmeans_scaled": kmeans(count, seed, scaled=True),
        **{name: AgglomerativeClustering(count, linkage=name).fit_predict for name in LINKAGES},
        "dbscan": dbscan,
        "mixture": mixture(count, seed, "full"),
        "mixture_tied": mixture(count, seed, "tied"),
    }


def implied(lengths: np.ndarray, labels: np.ndarray) -> GaussianMixture:
    """One Gaussian a cluster, in order of their petals; noise (-1) belongs to none."""
    kept = [lengths[labels == each] for each in np.unique(labels[labels >= 0])] or [lengths]
    kept.sort(key=lambda each: each[:, LENGTHS.index("petal_length")].mean())
    inside = [each - each.mean(axis=0) for each in kept]
    every, sizes = np.concatenate(inside), np.array([len(each) for each in kept])
    borrowed = BORROWED * (every.T @ every / len(every))
    made = GaussianMixture(len(kept))
    made.means_ = np.array([each.mean(axis=0) for each in kept])
    made.weights_ = sizes / sizes.sum()
    made.covariances_ = np.array(
        [(each.T @ each + borrowed) / (len(each) + BORROWED) for each in inside]
    )
    made.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(made.covariances_))
    return made


def learnt(
    cluster: Clusterer, lengths: np.ndarray, splits: RepeatedKFold | ShuffleSplit
) -> Iterator[tuple[GaussianMixture, np.ndarray]]:
    """What a clustering of the flowers kept implies, with the places of those left out."""
    for kept, left in splits.split(lengths):
        yield implied(lengths[kept], cluster(lengths[kept])), left


def held_out(cluster: Clusterer, lengths: np.ndarray, folds: RepeatedKFold) -> np.ndarray:
    """Log densities (repeats times rows,) of flowers that a clustering of the others gives."""
    told = [made.score_samples(lengths[left]) for made, left in learnt(cluster, lengths, folds)]
    return np.concatenate(told)


def agreements(
    cluster: Clusterer, lengths: np.ndarray, species: np.ndarray, resplits: ShuffleSplit
) -> np.ndarray:
    """Adjusted Rand index (splits,) of flowers left out, placed by a clustering of the others."""
    return np.array(
        [
            adjusted_rand_score(species[left], made.predict(lengths[left]))
            for made, left in learnt(cluster, lengths, resplits)
        ]
    )


def silhouette(lengths: np.ndarray, labels: np.ndarray) -> float:
    """Of the clusters alone: noise (-1) is none. 0 where there is but one cluster."""
    inside = labels >= 0
    if len(set(labels[inside])) < 2:
        return 0.0
    return float(silhouette_score(lengths[inside], labels[inside]))


def elbow(inertias: list[float]) -> int:
    """The count, from 1, at which the curve of logarithms bends most (the second difference)."""
    return int(np.argmax(np.diff(np.log(inertias), 2))) + 2


def by_count(
    lengths: np.ndarray, seed: int, most: int, folds: RepeatedKFold
) -> dict[str, list[float]]:
    """What each number of clusters from 1 to `most` is worth, by three yardsticks."""
    counts = range(1, most + 1)
    found = [KMeans(count, n_init=10, random_state=seed).fit(lengths) for count in counts]
    return {
        "inertia": [float(each.inertia_) for each in found],
        "silhouette": [silhouette(lengths, each.labels_) for each in found],
        "density": [
            float(held_out(mixture(count, seed, "tied"), lengths, folds).mean()) for count in counts
        ],
    }


def fit(
    *,
    train: Examples[Flower, str],
    weights: Path,
    seed: int,
    folds: int,
    repeats: int,
    most_clusters: int,
) -> Fitted:
    """Choose the count and then the clustering by the density of flowers left out."""
    lengths = features(train.records)["numbers"].astype(np.float64)
    species = np.array(train.truths)
    splits = RepeatedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
    # A third of them left out, as the test flowers are.
    resplits = ShuffleSplit(folds * repeats, test_size=1 / 3, random_state=seed)
    # Products of four columns are too small to share: on two busy cores threads took 20 times
    # as long.
    with threadpool_limits(limits=1):
        curves = by_count(lengths, seed, most_clusters, splits)
        count = int(np.argmax(curves["density"])) + 1
        made = clusterers(count, seed)
        left_out = {name: held_out(each, lengths, splits) for name, each in made.items()}
        labels = {name: each(lengths) for name, each in made.items()}
        # To be shown: nothing is chosen by it.
        rand = {name: agreements(each, lengths, species, resplits) for name, each in made.items()}
    tried = [
        Candidate(
            name,
            {
                "density": float(left_out[name].mean()),
                "silhouette": silhouette(lengths, found),
                "noise": float((found < 0).mean()),
                "adjusted_rand": float(rand[name].mean()),
                "adjusted_rand_std": float(rand[name].std()),
                "adjusted_rand_least": float(rand[name].min()),
            },
            {"clusters": len(set(found[found >= 0])), "wanted": count, "seed": seed},
            curves if name == "mixture_tied" else {},
        )
        for name, found in labels.items()
    ]
    chosen = max(tried, key=lambda each: each.metrics["density"]).name
    best, known = implied(lengths, labels[chosen]), np.sort(left_out[chosen]).round(6)
    export(best, weights / "model.onnx")
    (weights / "known.json").write_text(json.dumps(known.tolist()) + "\n")

    def native(flowers: list[Flower]) -> list[Membership]:
        points = features(flowers)["numbers"].astype(np.float64)
        return memberships(*placed_by(best, points), known)

    return Fitted(tried, chosen, native)


def placed_by(found: GaussianMixture, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joint log densities and Mahalanobis distances (rows, clusters), by scikit-learn and NumPy."""
    log_shares = np.log(found.predict_proba(points).clip(1e-300))
    joint = log_shares + found.score_samples(points)[:, None]
    apart = points[:, None, :] - found.means_
    inverse = np.linalg.inv(found.covariances_)
    return joint, np.sqrt(np.einsum("rki,kij,rkj->rk", apart, inverse, apart))


def export(found: GaussianMixture, file: Path) -> None:
    """Matrix products: `numbers` (rows, 4) to `logs` and `distances` (rows, clusters).

    With a factor L of each inverse spread, the squared distance is the length of (x - mean) L.
    """
    from onnx import helper

    count, width = found.means_.shape
    shift = -np.einsum("ki,kij->kj", found.means_, found.precisions_cholesky_).reshape(-1)
    halves = np.log(np.diagonal(found.precisions_cholesky_, axis1=1, axis2=2)).sum(axis=1)
    constants = {
        "factors": np.concatenate(list(found.precisions_cholesky_), axis=1),
        "shift": shift,
        "constant": np.log(found.weights_) + halves - width / 2 * np.log(2 * np.pi),
        "half": np.array(-0.5),
        "shape": np.array([-1, count, width]),
        "last": np.array([2]),
    }
    nodes = [
        helper.make_node("Gemm", ["numbers", "factors", "shift"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["apart"]),
        helper.make_node("ReduceSumSquare", ["apart", "last"], ["squares"], keepdims=0),
        helper.make_node("Sqrt", ["squares"], ["distances"]),
        helper.make_node("Mul", ["squares", "half"], ["powers"]),
        helper.make_node("Add", ["powers", "constant"], ["logs"]),
    ]
    outputs = {"logs": count, "distances": count}
    write_graph(file, nodes, inputs={"numbers": width}, outputs=outputs, constants=constants)


def score(*, answers: list[Membership], truths: list[str]) -> dict[str, float]:
    """Of the clusters against the species, and of what is said about sureness."""
    clusters = [each.cluster for each in answers]
    return {
        "adjusted_rand": float(adjusted_rand_score(truths, clusters)),
        "homogeneity": float(homogeneity_score(truths, clusters)),
        "clusters_met": float(len(set(clusters))),
        "mean_probability": float(np.mean([each.probability for each in answers])),
        "outliers": float(np.mean([each.outlier for each in answers])),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    lengths = features(evaluation.train.records)["numbers"].astype(np.float64)
    tried = {each.name: each for each in evaluation.candidates}
    found = tried["mixture_tied"]
    count, seed = found.parameters["wanted"], found.parameters["seed"]
    yield "density", plots.candidates(evaluation.candidates, evaluation.chosen, "density")
    yield "choosing_k", choosing(found.curves, count)
    yield "clusters", clusters(lengths, evaluation, count, seed)
    figure, axes = plots.panels(2, height=3.4)
    one_colour = {"color_threshold": 0, "above_threshold_color": plots.INK}
    for panel, name in zip(axes, ("average", "single"), strict=True):
        dendrogram(linkage(lengths, name), ax=panel, no_labels=True, **one_colour)
        panel.set_ylabel("distance at which two clusters join, cm")
        panel.set_title(f"Dendrogram, {name} linkage")
    yield "dendrogram", figure
    yield "shapes", shapes(seed)
    yield "placed", placed(evaluation)


def choosing(curves: dict[str, list[float]], count: int) -> Figure:
    figure, axes = plots.panels(3, height=3.2)
    # One cluster has no silhouette: there is no other to be far from.
    parted = curves["silhouette"][1:]
    shown = {
        f"k-means inertia: elbow at {elbow(curves['inertia'])}": curves["inertia"],
        f"Silhouette: best at {2 + int(np.argmax(parted))}": parted,
        f"Log density of flowers left out: best at {count}": curves["density"],
    }
    most = len(curves["density"])
    for panel, (title, values) in zip(axes, shown.items(), strict=True):
        panel.plot(range(most + 1 - len(values), most + 1), values, "o-", color=plots.ACCENT)
        panel.axvline(count, color=plots.PALE, linestyle=":")
        panel.set(xlim=(0.7, most + 0.3), xlabel="clusters (dotted: chosen, by the density)")
        panel.set_title(title, fontsize=10)
    axes[0].set_yscale("log")
    return figure


def clusters(lengths: np.ndarray, evaluation: Evaluation, count: int, seed: int) -> Figure:
    """Species and clusterings of the training flowers, on two principal components."""
    pca = PCA(2).fit(lengths)
    points, share = pca.transform(lengths), pca.explained_variance_ratio_.sum()
    found = clusterers(count, seed)
    species = evaluation.train.truths
    names = ("kmeans", "average", "single", "dbscan", "mixture_tied")
    figure, grid = plt.subplots(2, 3, figsize=(11.4, 6), sharex=True, sharey=True)
    first, *others = grid.flat
    scatter(first, points, np.unique(species, return_inverse=True)[1])
    first.set_title(f"Species (set aside); {100 * share:.0f} % of variance")
    compared(others, points, species, {name: found[name](lengths) for name in names})
    return figure


def compared(
    axes: Sequence[Axes], points: np.ndarray, truth: Sequence[object], shown: dict[str, np.ndarray]
) -> None:
    for panel, (name, labels) in zip(axes, shown.items(), strict=True):
        scatter(panel, points, labels)
        panel.set_title(f"{name}: adjusted Rand {adjusted_rand_score(truth, labels):.2f}")


def scatter(axes: Axes, points: np.ndarray, labels: np.ndarray) -> None:
    """A colour a cluster, the clusters from left to right; noise is a pale cross."""
    (x, y), noise = points.T, labels < 0
    kinds = sorted(set(labels[~noise]), key=lambda each: x[labels == each].mean())
    for kind, colour in zip(kinds, cycle(COLOURS), strict=False):
        axes.scatter(x[labels == kind], y[labels == kind], s=12, color=colour)
    axes.scatter(x[noise], y[noise], s=16, marker="x", color=plots.PALE)


def shapes(seed: int) -> Figure:
    """Made-up crescents, where round clusters and Gaussians fail and density does not."""
    points, truth = make_moons(300, noise=0.06, random_state=seed)
    found = clusterers(2, seed)
    shown = {name: found[name](points) for name in ("kmeans", "average", "mixture")}
    shown["dbscan"] = dbscan(points, share=1.0)
    figure, axes = plots.panels(4, height=3)
    compared(axes, points, truth, shown)
    figure.suptitle("Synthetic crescents, not flowers")
    return figure


def placed(evaluation: Evaluation) -> Figure:
    """Where test flowers of each species fall, and how sure that is."""
    told = pd.DataFrame([dict(each) for each in evaluation.answers])
    told["species"] = evaluation.test.truths
    figure, (left, right) = plots.panels(2)
    counts = pd.crosstab(told["species"], told["cluster"])
    bottom = np.zeros(len(counts))
    for each in sorted(set(told["cluster"])):
        colour = COLOURS[(each - 1) % len(COLOURS)]
        left.bar(counts.index, counts[each], bottom=bottom, color=colour, label=f"cluster {each}")
        bottom += counts[each]
    left.set(ylim=(0, 1.45 * bottom.max()), title="Clusters of the test flowers, by species")
    left.legend(loc="upper left", ncols=3)
    for colour, (kind, rows) in zip(COLOURS, told.groupby("species"), strict=False):
        right.scatter(rows["distance"], rows["typicality"], s=14, color=colour, label=kind)
    right.set(xlabel="distance from the centre, in spreads", ylabel="typicality")
    right.set_title("How typical they are of all known flowers")
    right.legend()
    return figure
