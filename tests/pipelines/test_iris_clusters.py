"""Iris clusters: found without the species, and served as scikit-learn assigns them."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import make_moons
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from pipelines.ml.iris_clusters import clusterers, data, report, train
from pipelines.ml.iris_clusters.model import Flower, IrisClusters, features
from slipway.datasets import fetch
from slipway.training import LabelledRows

FAST = {"seed": 4, "folds": 3, "repeats": 1, "most_clusters": 4}


@pytest.fixture(scope="module")
def splits() -> dict[str, LabelledRows]:
    pairs_by_split = data.splits(fetch("iris"), seed=4, test_share=0.33)
    pairs = {name: list(rows) for name, rows in pairs_by_split.items()}
    return {
        name: LabelledRows([record for record, _ in rows], [label for _, label in rows])
        for name, rows in pairs.items()
    }


@pytest.fixture(scope="module")
def lengths(splits: dict[str, LabelledRows]) -> np.ndarray:
    return features(splits["train"].records)["numbers"].astype(np.float64)


def test_no_flower_is_in_both_splits(splits: dict[str, LabelledRows]) -> None:
    train_side, test_side = (
        {tuple(each.model_dump().values()) for each in splits[name].records}
        for name in ("train", "test")
    )
    assert not train_side & test_side
    assert len(train_side) + len(test_side) == 149


def test_the_species_are_never_learnt_from(splits: dict[str, LabelledRows], tmp_path: Path) -> None:
    """With other species for the same flowers, the choice and every byte of the weights stay."""
    rows = splits["train"]
    shuffled = np.random.default_rng(0).permutation(rows.labels).tolist()
    written = []
    for name, labels in (("own", rows.labels), ("other", shuffled)):
        weights = tmp_path / "weights"
        weights.mkdir(exist_ok=True)
        fitted = train.fit(train=LabelledRows(rows.records, labels), weights=weights, **FAST)
        files = {file.name: file.read_bytes() for file in weights.iterdir()}
        written.append((fitted.chosen, files))
        rand = {each.name: each.metrics["adjusted_rand"] for each in fitted.candidates}
        assert (rand[fitted.chosen] > 0.5) == (name == "own")
    assert written[0] == written[1]


@pytest.mark.parametrize("name", list(clusterers.clusterers(3, 0)))
def test_the_exported_graph_agrees_with_the_gaussians(
    name: str, lengths: np.ndarray, tmp_path: Path
) -> None:
    found = train.fit_gaussians(lengths, clusterers.clusterers(3, 0)[name](lengths))
    train.export(found, tmp_path / "model.onnx")
    (tmp_path / "known.json").write_text("[-9, -1, 2]")
    model = IrisClusters()
    model.load(tmp_path)
    outputs = model.run({"numbers": lengths.astype(np.float32)})
    logs, distances = train.densities_and_distances(found, lengths)
    near = logs > -60  # float32 has seven digits: 300 spreads away a comparison is meaningless
    assert outputs["logs"][near] == pytest.approx(logs[near], abs=1e-3)
    assert outputs["distances"] == pytest.approx(distances, rel=1e-4, abs=1e-4)
    assert (outputs["logs"].argmax(axis=1) == found.predict(lengths)).all()


def test_clusterings_with_fewer_parameters_come_first() -> None:
    names = list(clusterers.clusterers(3, 0))
    assert names[:5] == ["baseline", "kmeans", "kmeans_scaled", "mixture_tied", "mixture"]
    assert set(names[5:]) == {*clusterers.LINKAGES, "dbscan"}


def test_clusters_are_numbered_by_petal_length(lengths: np.ndarray) -> None:
    labels = clusterers.clusterers(3, 0)["kmeans"](lengths)
    petals = [train.fit_gaussians(lengths, (labels + turn) % 3).means_[:, 2] for turn in range(3)]
    assert all((np.diff(each) > 0).all() for each in petals)
    assert petals[0] == pytest.approx(petals[1])


def test_a_flower_unlike_all_others_is_an_outlier(
    splits: dict[str, LabelledRows], tmp_path: Path
) -> None:
    train.fit(train=splits["train"], weights=tmp_path, **FAST)
    model = IrisClusters()
    model.load(tmp_path)
    usual, between, giant = model.predict(
        [
            report.EXAMPLES[0],
            report.EXAMPLES[2],
            Flower(sepal_length=15, sepal_width=9, petal_length=12, petal_width=5),
        ]
    )
    assert (usual.cluster, usual.outlier) == (1, False)
    assert between.outlier
    assert between.distance > usual.distance
    assert (giant.typicality, giant.outlier) == (0, True)


def test_noise_belongs_to_no_cluster() -> None:
    rng = np.random.default_rng(0)
    lengths = np.concatenate([rng.normal(1, 0.1, (30, 4)), rng.normal(5, 0.1, (30, 4)), [[99] * 4]])
    labels = clusterers.dbscan(lengths)
    assert labels[-1] == -1
    assert train.fit_gaussians(lengths, labels).means_.max() < 6
    assert train.silhouette(lengths, labels) == train.silhouette(lengths[:-1], labels[:-1]) > 0.9
    assert train.silhouette(lengths, np.minimum(labels, 0)) == 0


def test_left_out_flowers_are_assigned_by_a_clustering_of_the_others() -> None:
    """The clusterer is given two thirds of the flowers, and no species."""
    given = []

    def halves(lengths: np.ndarray) -> np.ndarray:
        given.append(lengths)
        return (lengths[:, 0] > 5).astype(int)

    lengths = np.random.default_rng(0).normal([[3] * 4, [7] * 4] * 30, 0.1)
    species, resplits = np.tile(["a", "b"], 30), train.ShuffleSplit(4, test_size=1 / 3)
    assert train.agreements(halves, lengths, species, resplits).tolist() == [1] * 4
    assert [len(each) for each in given] == [40] * 4
    species[:] = species[np.random.default_rng(1).permutation(60)]
    assert abs(train.agreements(halves, lengths, species, resplits).mean()) < 0.3


def test_the_density_prefers_long_clusters_where_the_silhouette_does_not() -> None:
    """Two long parallel clusters, which k-means cuts across, have the higher density."""
    rng = np.random.default_rng(1)
    spread = np.diag([9, 0.01, 0.01, 0.01])
    lengths = np.concatenate(
        [rng.multivariate_normal([10, centre, 5, 5 + centre], spread, 50) for centre in (3, 4)]
    )
    folds = train.RepeatedKFold(n_splits=5, n_repeats=1, random_state=0)
    found = {
        "along": lambda points: (points[:, 1] > 3.5).astype(int),
        "across": clusterers.kmeans(2, 0),
    }
    density = {
        name: train.held_out_density(each, lengths, folds).mean() for name, each in found.items()
    }
    round_ones = {name: train.silhouette(lengths, each(lengths)) for name, each in found.items()}
    assert density["along"] > density["across"]
    assert round_ones["along"] < round_ones["across"]


def test_dbscan_separates_crescents_and_a_gaussian_mixture_does_not() -> None:
    points, labels = make_moons(300, noise=0.06, random_state=4)
    assert adjusted_rand_score(labels, clusterers.dbscan(points, share=1.0)) > 0.95
    gaussian = GaussianMixture(2, n_init=3, random_state=0).fit_predict(points)
    assert adjusted_rand_score(labels, gaussian) < 0.7


def test_the_elbow_is_where_the_curve_bends() -> None:
    assert report.elbow([100, 50, 10, 9, 8.5]) == 3
    assert report.elbow([100, 10, 9, 8.5, 8]) == 2
