"""Score the served clusters against the species; draw the clusterings."""

from collections.abc import Iterator, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import dendrogram, linkage
from sklearn.datasets import make_moons
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, homogeneity_score

from slipway.datasets import fetch
from slipway.reporting import Evaluation, plots
from slipway.reporting.baseline_rows import train_and_test_rows
from slipway.reporting.candidates_plot import candidates_plot
from slipway.reporting.uncertainty import metric_with_interval

from .clusterers import clusterers, dbscan, tertiles
from .data import splits
from .model import Flower, Membership, features
from .train import fit_gaussians

# The last one is no iris: the documentation shows what the model predicts for such a flower.
EXAMPLES = [
    Flower(sepal_length=5.0, sepal_width=3.4, petal_length=1.5, petal_width=0.2),
    Flower(sepal_length=6.1, sepal_width=2.8, petal_length=4.9, petal_width=1.7),
    Flower(sepal_length=6.0, sepal_width=3.0, petal_length=2.8, petal_width=0.8),
]

COLOURS = ("#0b7189", "#d1793b", "#24323f", "#7a9e7e", "#a44a8b", "#c9a227", "#5b6fb5")


def elbow(inertias: list[float]) -> int:
    """Return the count at which the curve of logarithms bends most (second difference)."""
    return int(np.argmax(np.diff(np.log(inertias), 2))) + 2


def score(*, predictions: list[Membership], labels: list[str]) -> dict[str, float]:
    """Return agreement with the species, mean probability and the share of outliers.

    The baseline cuts the training flowers into as many equal parts by the length of the sepal.
    """
    clusters, species = np.array([each.cluster for each in predictions]), np.array(labels)
    train, test = train_and_test_rows(__file__, splits, fetch("iris"), labels)
    known, new = (features(each.records)["numbers"].astype(float) for each in (train, test))
    parts = fit_gaussians(known, tertiles(int(clusters.max()))(known)).predict(new)

    def agreement(rows: np.ndarray) -> float:
        return float(adjusted_rand_score(species[rows], clusters[rows]))

    return {
        # The interval resamples flowers.
        **metric_with_interval("adjusted_rand", agreement, len(species)),
        "baseline_adjusted_rand": float(adjusted_rand_score(species, parts)),
        "homogeneity": float(homogeneity_score(labels, clusters)),
        "clusters_met": float(len(set(clusters))),
        "mean_probability": float(np.mean([each.probability for each in predictions])),
        "outliers": float(np.mean([each.outlier for each in predictions])),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    lengths = features(evaluation.train.records)["numbers"].astype(np.float64)
    tried = {each.name: each for each in evaluation.candidates}
    found = tried["mixture_tied"]
    count, seed = found.parameters["wanted"], found.parameters["seed"]
    yield (
        "density",
        candidates_plot(evaluation.candidates, chosen=evaluation.chosen, metric="density"),
    )
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
    yield "placed", membership_by_species(evaluation)


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
    """Draw species and clusterings of the training flowers on two principal components."""
    pca = PCA(2).fit(lengths)
    points, share = pca.transform(lengths), pca.explained_variance_ratio_.sum()
    found = clusterers(count, seed)
    species = evaluation.train.labels
    names = ("kmeans", "average", "single", "dbscan", "mixture_tied")
    figure, grid = plt.subplots(2, 3, figsize=(11.4, 6), sharex=True, sharey=True)
    first, *others = grid.flat
    scatter(first, points, np.unique(species, return_inverse=True)[1])
    first.set_title(f"Species (set aside); {100 * share:.0f} % of variance")
    draw_clusterings(others, points, species, {name: found[name](lengths) for name in names})
    return figure


def draw_clusterings(
    axes: Sequence[Axes],
    points: np.ndarray,
    species: Sequence[object],
    shown: dict[str, np.ndarray],
) -> None:
    for panel, (name, labels) in zip(axes, shown.items(), strict=True):
        scatter(panel, points, labels)
        panel.set_title(f"{name}: adjusted Rand {adjusted_rand_score(species, labels):.2f}")


def scatter(axes: Axes, points: np.ndarray, labels: np.ndarray) -> None:
    """Draw each cluster in its own colour, from left to right; noise points are pale crosses."""
    (x, y), noise = points.T, labels < 0
    kinds = sorted(set(labels[~noise]), key=lambda each: x[labels == each].mean())
    for kind, colour in zip(kinds, cycle(COLOURS), strict=False):
        axes.scatter(x[labels == kind], y[labels == kind], s=12, color=colour)
    axes.scatter(x[noise], y[noise], s=16, marker="x", color=plots.PALE)


def shapes(seed: int) -> Figure:
    """Draw synthetic crescents, where round clusters and Gaussians fail and DBSCAN does not."""
    points, crescent = make_moons(300, noise=0.06, random_state=seed)
    found = clusterers(2, seed)
    shown = {name: found[name](points) for name in ("kmeans", "average", "mixture")}
    shown["dbscan"] = dbscan(points, share=1.0)
    figure, axes = plots.panels(4, height=3)
    draw_clusterings(axes, points, crescent, shown)
    figure.suptitle("Synthetic crescents, not flowers")
    return figure


def membership_by_species(evaluation: Evaluation) -> Figure:
    """Draw the clusters of test flowers by species, and how typical they are."""
    table = pd.DataFrame([dict(each) for each in evaluation.predictions])
    table["species"] = evaluation.test.labels
    figure, (left, right) = plots.panels(2)
    counts = pd.crosstab(table["species"], table["cluster"])
    bottom = np.zeros(len(counts))
    for each in sorted(set(table["cluster"])):
        colour = COLOURS[(each - 1) % len(COLOURS)]
        left.bar(counts.index, counts[each], bottom=bottom, color=colour, label=f"cluster {each}")
        bottom += counts[each]
    left.set(ylim=(0, 1.45 * bottom.max()), title="Clusters of the test flowers, by species")
    left.legend(loc="upper left", ncols=3)
    for colour, (kind, rows) in zip(COLOURS, table.groupby("species"), strict=False):
        right.scatter(rows["distance"], rows["typicality"], s=14, color=colour, label=kind)
    right.set(xlabel="distance from the centre, in spreads", ylabel="typicality")
    right.set_title("How typical they are of all known flowers")
    right.legend()
    return figure
