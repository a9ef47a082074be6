"""Clusterings of flowers by their lengths; each labels only the flowers that it is given."""

from collections.abc import Callable

import numpy as np
from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

LINKAGES = ("ward", "complete", "average", "single")
# A point with this many others within the radius is inside a cluster (Ester et al. 1996: 4).
NEIGHBOURS = 4

Clusterer = Callable[[np.ndarray], np.ndarray]


def tertiles(count: int) -> Clusterer:
    """Return a clusterer that cuts flowers into `count` equal parts by the length of the sepal."""

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
    """Return DBSCAN labels, -1 for noise.

    With the radius used, the share `share` of the points has four neighbours.
    """
    distances = NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(lengths).kneighbors(lengths)[0]
    radius = float(np.quantile(distances[:, -1], share))
    return np.asarray(DBSCAN(eps=radius, min_samples=NEIGHBOURS + 1).fit_predict(lengths))


def mixture(count: int, seed: int, shape: str) -> Clusterer:
    """Return a Gaussian mixture fitted by expectation-maximization (Dempster et al. 1977)."""
    # Lengths are known to a tenth of a centimetre, so no cluster is narrower (0.1 squared).
    model = GaussianMixture(
        count, covariance_type=shape, n_init=3, reg_covar=1e-2, random_state=seed
    )
    return lambda lengths: np.asarray(model.fit_predict(lengths))


def clusterers(count: int, seed: int) -> dict[str, Clusterer]:
    """Return the clusterings by name, the simplest first; labels start at 0.

    Simpler clusterings fit fewer numbers: cuts, then centres, then centres and spreads. Linkages
    and DBSCAN, which keep every flower, come last. Lengths are in centimetres; only
    `kmeans_scaled` scales them.
    """
    return {
        "baseline": tertiles(count),
        "kmeans": kmeans(count, seed),
        "kmeans_scaled": kmeans(count, seed, scaled=True),
        "mixture_tied": mixture(count, seed, "tied"),
        "mixture": mixture(count, seed, "full"),
        **{name: AgglomerativeClustering(count, linkage=name).fit_predict for name in LINKAGES},
        "dbscan": dbscan,
    }
