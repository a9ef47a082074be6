"""Federated census: averaging, Flower beside the loop, and privacy accounting."""

import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import integrate
from sklearn.metrics import roc_auc_score

from pipelines.ml.census_federated import data, privacy, train
from pipelines.ml.census_federated.client import Local, average, private_sum, sigmoid, train_client
from pipelines.ml.census_federated.model import COLUMNS, CensusFederated, Person, features
from pipelines.ml.census_federated.train import Table
from slipway.datasets import fetch
from slipway.project import find
from slipway.training.resampled import roc_auc_by_rows


@pytest.fixture(scope="module")
def sides() -> dict[str, list]:
    splits = data.splits(fetch("adult_census_train"), seed=1, test_share=0.25)
    return {name: list(rows) for name, rows in splits.items()}


@pytest.fixture(scope="module")
def table(sides: dict[str, list]) -> Table:
    people, labels = zip(*sides["train"][:3000], strict=True)
    return Table(list(people), list(labels))


def person(**changes: object) -> Person:
    known = {"age": 40, "education": 13, "married": "divorced", "hours": 40, "sex": "female"}
    return Person.model_validate({**known, "race": "white", **changes})


def test_flower_ends_with_the_weights_of_the_loop(table: Table) -> None:
    parts = train.dirichlet(table.labels, 4, 0.3, 7)
    local = Local(epochs=2, pull=0.1)
    ours = train.federated(table, parts, local, 2, 7)[-1]
    theirs = train.by_flower(table, parts, local, 2, 7)
    assert theirs == pytest.approx(ours, abs=1e-12)
    assert np.abs(ours).max() > 0.1


def test_one_client_with_all_rows_is_plain_gradient_descent(table: Table) -> None:
    """One step over all rows follows the gradient of the mean log-loss, computed by differences."""
    weights = np.random.default_rng(0).normal(0, 0.1, len(COLUMNS))
    local = Local(batch=len(table.labels), rate=1.0)

    def loss(now: np.ndarray) -> float:
        y_prob = sigmoid(table.columns @ now)
        return float(-np.mean(np.log(np.where(table.labels > 0, y_prob, 1 - y_prob))))

    moved = weights - train_client(weights, table.columns, table.labels, local, (0, 0, 0))
    for place in range(0, len(COLUMNS), 7):
        step = np.eye(len(COLUMNS))[place] * 1e-5
        slope = (loss(weights + step) - loss(weights - step)) / 2e-5
        assert moved[place] == pytest.approx(slope, abs=1e-7)


def test_the_average_is_by_rows() -> None:
    found = average([np.array([1.0, 0.0]), np.array([4.0, 6.0])], [2, 1])
    assert found.tolist() == [2.0, 2.0]


def test_the_pull_keeps_a_client_nearer_to_the_start(table: Table) -> None:
    start = np.zeros(len(COLUMNS))
    gone = [
        float(np.linalg.norm(train_client(start, table.columns, table.labels, local, (0, 0, 0))))
        for local in (Local(epochs=3), Local(epochs=3, pull=0.1), Local(epochs=3, pull=1.0))
    ]
    assert gone[0] > 1.2 * gone[1] > 1.2 * gone[2]


@pytest.mark.parametrize("kind", ["labels", "jobs"])
def test_each_row_goes_to_one_client_and_a_small_alpha_makes_clients_differ(
    table: Table, kind: str
) -> None:
    groups = getattr(table, kind)
    spread = {}
    for alpha in (0.3, 100.0):
        parts = train.dirichlet(groups, 10, alpha, 3)
        assert sorted(np.concatenate(parts).tolist()) == list(range(len(groups)))
        assert min(map(len, parts)) >= train.LEAST_ROWS
        first = groups == groups[0]
        spread[alpha] = np.std([first[part].mean() for part in parts])
    assert spread[0.3] > 3 * spread[100.0]


@pytest.mark.parametrize(
    ("noise", "epochs", "published"), [(1.3, 15, 1.19), (1.1, 60, 3.01), (0.7, 45, 7.10)]
)
def test_epsilon_equals_the_published_value(noise: float, epochs: int, published: float) -> None:
    """The values are those of TensorFlow Privacy's tutorial: MNIST, batches of 256, delta 1e-5."""
    rounds = epochs * (60_000 // 256)
    found = privacy.epsilon(256 / 60_000, noise, rounds, 1e-5)
    assert found == pytest.approx(published, abs=0.02)


@pytest.mark.parametrize(("share", "noise", "order"), [(0.1, 1.0, 3), (0.1, 2.0, 8), (0.5, 4, 20)])
def test_divergences_are_those_of_the_integral(share: float, noise: float, order: int) -> None:
    def density(at: float, mean: float) -> float:
        scale = noise * math.sqrt(2 * math.pi)
        return math.exp(-((at - mean) ** 2) / (2 * noise**2)) / scale

    def ratio(at: float) -> float:
        mixed = (1 - share) * density(at, 0) + share * density(at, 1)
        return density(at, 0) * (mixed / density(at, 0)) ** order

    whole, _ = integrate.quad(ratio, -20 * noise, 20 * noise + order, limit=500)
    found = privacy.divergence(share, noise, order)
    assert found == pytest.approx(math.log(whole) / (order - 1), rel=1e-6)


def test_all_clients_in_every_round_is_the_plain_gaussian_mechanism() -> None:
    """The divergence of the plain Gaussian mechanism is order / (2 noise^2)."""
    assert privacy.divergence(1 - 1e-12, 2.0, 6) == pytest.approx(6 / 8, rel=1e-6)


def test_an_invalid_mechanism_is_refused() -> None:
    assert privacy.epsilon(0.1, 0, 1, 1e-5) == math.inf
    with pytest.raises(ValueError, match="share 1.5"):
        privacy.epsilon(1.5, 1, 1, 1e-5)


def test_converged_weights_have_no_gradient(table: Table) -> None:
    found = train.converged(table)
    slope = (sigmoid(table.columns @ found) - table.labels) @ table.columns / len(table.labels)
    assert np.abs(slope).max() < 1e-5


def test_no_client_moves_the_sum_by_more_than_the_clip() -> None:
    rng = np.random.default_rng(0)
    others = [rng.normal(0, 1, 20) for _ in range(5)]
    before = private_sum(others, 0.5, 0, rng)
    for size in (0.01, 1, 1e9):
        more = private_sum([*others, rng.normal(0, size, 20)], 0.5, 0, rng)
        assert np.linalg.norm(more - before) <= 0.5 + 1e-9


def test_the_noise_is_as_large_as_the_accountant_counts() -> None:
    rng = np.random.default_rng(0)
    drawn = [private_sum([np.zeros(50)], 0.5, 3.0, rng) for _ in range(400)]
    assert np.std(drawn) == pytest.approx(1.5, rel=0.03)


def test_a_resampled_area_equals_scikit_learns(table: Table) -> None:
    rng = np.random.default_rng(0)
    # Rounded, so that many rows have the same probability.
    y_prob = np.round(0.3 * table.labels + rng.random(len(table.labels)), 1)
    rows = rng.integers(0, len(y_prob), len(y_prob))
    found = roc_auc_by_rows(table.labels, y_prob)(rows)
    assert found == pytest.approx(roc_auc_score(table.labels[rows], y_prob[rows]))
    error = table.area_error(np.zeros(len(COLUMNS)))["roc_auc_se"]
    assert error == 0


def test_no_line_of_the_census_is_in_both_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are compared, since different people may have equal records."""
    monkeypatch.setattr(data, "people", lambda frame: frame)
    sides = data.splits(fetch("adult_census_train"), seed=1, test_share=0.25)
    lines = {name: set(frame.itertuples(index=False)) for name, frame in sides.items()}
    assert not lines["train"] & lines["test"]
    assert sum(map(len, sides.values())) == sum(map(len, lines.values())) == 32_561 - 24


def test_sex_race_and_columns_that_reveal_them_are_not_features() -> None:
    one = features([person()])["columns"]
    for changes in ({"sex": "male"}, {"race": "black"}):
        assert (features([person(**changes)])["columns"] == one).all()
    assert not {"relationship", "country", "weight"} & set(Person.model_fields)
    assert set(CensusFederated.protected) == {"sex", "race"}


def test_no_single_feature_reveals_the_income(table: Table) -> None:
    correlations = [
        abs(np.corrcoef(column, table.labels)[0, 1])
        for column in table.columns.T[:-1]
        if column.std() > 0
    ]
    assert max(correlations) < 0.5


def test_features_do_not_look_at_other_people(sides: dict[str, list]) -> None:
    """A person's features do not depend on the other people in the batch."""
    people = [each for each, _ in sides["train"][:50]]
    together = features(people)["columns"]
    assert all(
        (features([each])["columns"][0] == row).all()
        for each, row in zip(people, together, strict=True)
    )
    assert together.min() >= 0
    assert together.max() <= 1


def test_the_files_beside_train_make_the_stages_run_again() -> None:
    folder: Path = find("census_federated").folder
    stages = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"]
    assert {"client.py", "privacy.py", "flower.py"} <= set(stages["fit"]["deps"])
    assert "../../../infra/environment/locks/federated.txt" in stages["fit"]["deps"]


def test_methods_are_ordered_from_the_simplest_and_differ_in_the_pull() -> None:
    found = train.unlike("_jobs", [np.arange(3)], [0.1, 0.001])
    names = ["fedavg_jobs", "fedavg_jobs_5", "fedprox_jobs_0.001", "fedprox_jobs_0.1"]
    assert list(found) == names
    assert [local.pull for _, local in found.values()] == [0, 0, 0.001, 0.1]
    assert [local.epochs for _, local in found.values()] == [1, 5, 5, 5]
