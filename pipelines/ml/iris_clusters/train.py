"""Compare k-means, four linkages, DBSCAN and Gaussian mixtures without using the species.

Each clustering is converted to one Gaussian per cluster. So each can assign a flower that it has
not seen, and all are compared by one measure: the log density of such flowers. Unlike the
silhouette, it does not assume that clusters are round. The simplest clustering whose density lies
within one standard error of the best is served.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import RepeatedKFold, ShuffleSplit
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.graph import write_graph
from slipway.training.selection import fold_error, simplest_within_error

from .clusterers import Clusterer, clusterers, mixture
from .model import LENGTHS, Flower, Membership, features, memberships

# The weight, in flowers, of the pooled covariance in each cluster's own: a cluster of two or three,
# as single linkage produces, has no spread in some of the four directions.
BORROWED = 3.0


def fit_gaussians(lengths: np.ndarray, labels: np.ndarray) -> GaussianMixture:
    """Return one Gaussian per cluster, ordered by petal length; noise (-1) belongs to none."""
    kept = [lengths[labels == each] for each in np.unique(labels[labels >= 0])] or [lengths]
    kept.sort(key=lambda each: each[:, LENGTHS.index("petal_length")].mean())
    inside = [each - each.mean(axis=0) for each in kept]
    every, sizes = np.concatenate(inside), np.array([len(each) for each in kept])
    borrowed = BORROWED * (every.T @ every / len(every))
    gaussians = GaussianMixture(len(kept))
    gaussians.means_ = np.array([each.mean(axis=0) for each in kept])
    gaussians.weights_ = sizes / sizes.sum()
    gaussians.covariances_ = np.array(
        [(each.T @ each + borrowed) / (len(each) + BORROWED) for each in inside]
    )
    gaussians.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(gaussians.covariances_))
    return gaussians


def fit_each_split(
    cluster: Clusterer, lengths: np.ndarray, splits: RepeatedKFold | ShuffleSplit
) -> Iterator[tuple[GaussianMixture, np.ndarray]]:
    """Yield Gaussians fitted on the kept flowers of each split, and the rows left out."""
    for kept, left in splits.split(lengths):
        yield fit_gaussians(lengths[kept], cluster(lengths[kept])), left


def held_out_density(cluster: Clusterer, lengths: np.ndarray, folds: RepeatedKFold) -> np.ndarray:
    """Return log densities (repeats times rows,) of flowers under a clustering of the others."""
    densities = [
        gaussians.score_samples(lengths[left])
        for gaussians, left in fit_each_split(cluster, lengths, folds)
    ]
    return np.concatenate(densities)


def agreements(
    cluster: Clusterer, lengths: np.ndarray, species: np.ndarray, resplits: ShuffleSplit
) -> np.ndarray:
    """Return the adjusted Rand index (splits,) of left-out flowers by a clustering of the rest."""
    return np.array(
        [
            adjusted_rand_score(species[left], gaussians.predict(lengths[left]))
            for gaussians, left in fit_each_split(cluster, lengths, resplits)
        ]
    )


def silhouette(lengths: np.ndarray, labels: np.ndarray) -> float:
    """Return the silhouette without noise (-1), or 0 where there is only one cluster."""
    inside = labels >= 0
    if len(set(labels[inside])) < 2:
        return 0.0
    return float(silhouette_score(lengths[inside], labels[inside]))


def curves_by_count(
    lengths: np.ndarray, seed: int, most: int, folds: RepeatedKFold
) -> dict[str, list[float]]:
    """Return inertia, silhouette and density for each number of clusters from 1 to `most`."""
    counts = range(1, most + 1)
    found = [KMeans(count, n_init=10, random_state=seed).fit(lengths) for count in counts]
    return {
        "inertia": [float(each.inertia_) for each in found],
        "silhouette": [silhouette(lengths, each.labels_) for each in found],
        "density": [
            float(held_out_density(mixture(count, seed, "tied"), lengths, folds).mean())
            for count in counts
        ],
    }


def fit(
    *,
    train: LabelledRows[Flower, str],
    weights: Path,
    seed: int,
    folds: int,
    repeats: int,
    most_clusters: int,
) -> Fitted:
    """Choose the number of clusters, then the clustering, by the density of left-out flowers.

    The number has the highest density, not the lowest number within one standard error: flowers
    differ from each other far more than two numbers differ on the same flowers, so that rule would
    merge all clusters.
    """
    lengths = features(train.records)["numbers"].astype(np.float64)
    species = np.array(train.labels)
    splits = RepeatedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
    # A third of them left out, as the test flowers are.
    resplits = ShuffleSplit(folds * repeats, test_size=1 / 3, random_state=seed)
    # Products of four columns are too small for threads: on two busy cores they took 20 times
    # as long.
    with threadpool_limits(limits=1):
        curves = curves_by_count(lengths, seed, most_clusters, splits)
        count = int(np.argmax(curves["density"])) + 1
        compared = clusterers(count, seed)
        left_out = {
            name: held_out_density(each, lengths, splits) for name, each in compared.items()
        }
        labels = {name: each(lengths) for name, each in compared.items()}
        # Only shown: it is not used to choose.
        rand = {
            name: agreements(each, lengths, species, resplits) for name, each in compared.items()
        }
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
                # Each repeat scores every flower once, so this many values are independent.
                "density_se": fold_error(left_out[name], folds=len(lengths)),
            },
            {"clusters": len(set(found[found >= 0])), "wanted": count, "seed": seed},
            curves if name == "mixture_tied" else {},
        )
        for name, found in labels.items()
    ]
    chosen = simplest_within_error(tried, "density", best="highest").name
    best, known = fit_gaussians(lengths, labels[chosen]), np.sort(left_out[chosen]).round(6)
    export(best, weights / "model.onnx")
    (weights / "known.json").write_text(json.dumps(known.tolist()) + "\n")

    def framework_predict(flowers: list[Flower]) -> list[Membership]:
        points = features(flowers)["numbers"].astype(np.float64)
        return memberships(*densities_and_distances(best, points), known)

    return Fitted(tried, chosen, framework_predict)


def densities_and_distances(
    gaussians: GaussianMixture, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return joint log densities and Mahalanobis distances (rows, clusters), without ONNX."""
    log_shares = np.log(gaussians.predict_proba(points).clip(1e-300))
    joint = log_shares + gaussians.score_samples(points)[:, None]
    apart = points[:, None, :] - gaussians.means_
    inverse = np.linalg.inv(gaussians.covariances_)
    return joint, np.sqrt(np.einsum("rki,kij,rkj->rk", apart, inverse, apart))


def export(gaussians: GaussianMixture, file: Path) -> None:
    """Write a graph from `numbers` (rows, 4) to `logs` and `distances` (rows, clusters).

    With a Cholesky factor L of each inverse covariance, the distance is the length of (x - mean) L.
    """
    from onnx import helper

    count, width = gaussians.means_.shape
    shift = -np.einsum("ki,kij->kj", gaussians.means_, gaussians.precisions_cholesky_).reshape(-1)
    halves = np.log(np.diagonal(gaussians.precisions_cholesky_, axis1=1, axis2=2)).sum(axis=1)
    constants = {
        "factors": np.concatenate(list(gaussians.precisions_cholesky_), axis=1),
        "shift": shift,
        "constant": np.log(gaussians.weights_) + halves - width / 2 * np.log(2 * np.pi),
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
