"""Training: k-means, four linkages, DBSCAN and Gaussian mixtures, chosen without the species.

Every clustering is read as one Gaussian a cluster, so that any can place a flower that it has not
seen, and all are judged alike: by how likely they hold such flowers. Unlike the silhouette, this
does not presume that clusters are round. The simplest clustering whose density lies within one
standard error of the best is served.
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

from slipway.training import Candidate, Examples, Fitted
from slipway.training.graph import write_graph
from slipway.training.selection import fold_error, simplest_within_error

from .clusterers import Clusterer, clusterers, mixture
from .model import LENGTHS, Flower, Membership, features, memberships

# As many flowers of the pooled spread are added to each cluster's own: a cluster of two or three,
# as single linkage cuts them off, has no spread in all four directions.
BORROWED = 3.0


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
    """Choose the count and then the clustering by the density of flowers left out.

    The count is of the highest density, not of the least within one standard error: flowers differ
    from each other far more than two counts do on the same flowers, so that error would merge all.
    """
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
                # Each repeat judges every flower once: so many are independent.
                "density_se": fold_error(left_out[name], folds=len(lengths)),
            },
            {"clusters": len(set(found[found >= 0])), "wanted": count, "seed": seed},
            curves if name == "mixture_tied" else {},
        )
        for name, found in labels.items()
    ]
    chosen = simplest_within_error(tried, "density", best="highest").name
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
