"""Boosting from scratch: trees, losses, features and the exported ONNX graph."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.tree import DecisionTreeRegressor

from pipelines.ml.boosting_from_scratch import boosting, data, speed, train
from pipelines.ml.boosting_from_scratch.boosting import (
    Absolute,
    Bins,
    Boosting,
    Huber,
    Limits,
    LogLoss,
    Squared,
)
from pipelines.ml.boosting_from_scratch.model import NUMBERS, Block, BoostingFromScratch, features
from slipway.datasets import fetch
from slipway.project import find

LOSSES = [Squared(), Absolute(), Huber(), LogLoss()]


def sample(rows: int, seed: int = 0, values: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Return columns with few values, so that bins are exact, and labels that depend on three."""
    rng = np.random.default_rng(seed)
    columns = rng.integers(0, values, size=(rows, 5)).astype(np.float32)
    y_true = np.sin(columns[:, 0] / 8) * 3 + columns[:, 1] / 20 + (columns[:, 2] > 30)
    return columns, y_true + rng.normal(0, 0.1, rows)


@pytest.mark.parametrize(("depth", "least"), [(1, 1), (4, 1), (6, 20)])
def test_a_tree_equals_scikit_learns(depth: int, least: int) -> None:
    columns, y_true = sample(2000)
    limits = Limits(max_depth=depth, min_samples=least, l2=0.0)
    ours = Boosting(Squared(), 1, 1.0, limits=limits).fit(columns, y_true)
    theirs = DecisionTreeRegressor(max_depth=depth, min_samples_leaf=least).fit(columns, y_true)
    assert ours.predict(columns) == pytest.approx(theirs.predict(columns))


def test_boosting_equals_scikit_learns() -> None:
    columns, y_true = sample(1000)
    limits = Limits(max_depth=3, min_samples=1, l2=0.0)
    ours = Boosting(Squared(), 20, 0.2, limits=limits).fit(columns, y_true)
    theirs = GradientBoostingRegressor(n_estimators=20, learning_rate=0.2, max_depth=3)
    theirs.fit(columns, y_true)
    assert ours.predict(columns) == pytest.approx(theirs.predict(columns), abs=1e-6)


def test_no_leaf_is_smaller_or_deeper_than_allowed() -> None:
    columns, y_true = sample(500)
    limits = Limits(max_depth=4, min_samples=30)
    made = Boosting(Squared(), 3, limits=limits).fit(columns, y_true)
    for tree in made.grown:
        _, counts = np.unique(tree.leaves(made.bins(columns)), return_counts=True)
        assert counts.min() >= 30
        assert len(counts) <= 2**4


def test_no_librarys_leaf_is_smaller_than_ours() -> None:
    """Rows in the same leaf have the same prediction."""
    columns, y_true = sample(600)
    for name, model in train.libraries(1, 1.0, 0, classify=False).items():
        y_pred = model.fit(columns, y_true).predict(columns)
        assert np.unique(y_pred, return_counts=True)[1].min() >= Limits().min_samples, name


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_derivatives_are_those_of_the_loss(loss: boosting.Loss) -> None:
    rng = np.random.default_rng(3)
    y_true = (rng.random(40) < 0.4).astype(float)
    scores = rng.normal(0, 2, 40)
    first, _ = loss.derivatives(y_true, scores)
    step = 1e-6
    for row in range(40):
        moved = np.eye(40)[row] * step
        slope = (loss.mean(y_true, scores + moved) - loss.mean(y_true, scores - moved)) / step / 2
        assert first[row] / 40 == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize("loss", [Squared(), Absolute(), LogLoss()])
def test_no_other_start_is_better(loss: boosting.Loss) -> None:
    y_true = np.array([0.0, 1, 1, 0, 0, 1, 0])
    start = loss.start(y_true)
    here = loss.mean(y_true, np.full(7, start))
    assert all(here <= loss.mean(y_true, np.full(7, start + off)) + 1e-12 for off in (-0.1, 0.1))


def test_outliers_affect_the_squared_loss_only() -> None:
    columns, y_true = sample(2000)
    wild = y_true.copy()
    wild[::50] += 500
    off = {
        type(loss).__name__: np.abs(Boosting(loss, 60).fit(columns, wild).predict(columns) - y_true)
        for loss in (Squared(), Absolute(), Huber())
    }
    assert off["Absolute"].mean() < 0.5 < off["Squared"].mean()
    assert off["Huber"].mean() < 0.5


def test_log_loss_learns_probabilities() -> None:
    rng = np.random.default_rng(4)
    columns = rng.integers(0, 10, size=(20_000, 2)).astype(np.float32)
    likely = 1 / (1 + np.exp(-(columns[:, 0] - 4.5) / 2))
    y_true = (rng.random(20_000) < likely).astype(float)
    odds = Boosting(LogLoss(), 60, limits=Limits(max_depth=3)).fit(columns, y_true)
    assert 1 / (1 + np.exp(-odds.predict(columns))) == pytest.approx(likely, abs=0.08)


def test_missing_values_go_to_the_better_side() -> None:
    columns, _ = sample(1000)
    columns[::3, 0] = np.nan
    y_true = np.isnan(columns[:, 0]).astype(float)
    limits = Limits(max_depth=1, l2=0.0)
    made = Boosting(Squared(), 1, 1.0, limits=limits).fit(columns, y_true)
    assert made.predict(columns) == pytest.approx(y_true)


def test_the_graph_predicts_like_the_trees(tmp_path: Path) -> None:
    """The rows are on borders, beyond all training values, or have missing values."""
    rng = np.random.default_rng(5)
    columns = rng.normal(0, 1e3, size=(3000, len(NUMBERS))).astype(np.float32)
    columns[rng.random(columns.shape) < 0.1] = np.nan
    y_true = np.nan_to_num(columns[:, 0]) / 1e3 + np.isnan(columns[:, 1])
    made = Boosting(Squared(), 30, 0.2, subsample=0.7).fit(columns, y_true)
    train.export(made, tmp_path / "model.onnx")
    model = BoostingFromScratch()
    model.load(tmp_path)
    borders = np.stack([each[:200] for each in made.bins.borders], axis=1)
    far = np.array([[1e30], [-1e30], [np.nan]], dtype=np.float32) * np.ones_like(columns[:1])
    numbers = np.concatenate([columns, borders, far])
    scores = model.run({"numbers": numbers})["scores"][:, 0]
    assert scores == pytest.approx(made.predict(numbers), abs=1e-5)
    assert np.std(scores) > 0.3


def test_bins_come_from_the_training_rows_alone() -> None:
    columns, y_true = sample(500)
    made = Boosting(Squared(), 5).fit(columns, y_true)
    alone = Boosting(Squared(), 5).fit(columns, y_true, (columns[:9] * 1e6, y_true[:9]))
    assert alone.predict(columns) == pytest.approx(made.predict(columns), abs=0)
    borders = Bins.fit(columns).borders
    assert all(
        (mine == theirs).all() for mine, theirs in zip(borders, alone.bins.borders, strict=True)
    )


def test_no_block_is_in_both_splits_and_no_feature_leaks_its_value() -> None:
    """Income correlates most with the value, and not too much."""
    splits = data.splits(fetch("california_housing"), seed=1, test_share=0.2)
    sides = {name: list(rows) for name, rows in splits.items()}
    keys = {name: {each.model_dump_json() for each, _ in rows} for name, rows in sides.items()}
    assert not keys["train"] & keys["test"]
    assert len(keys["train"]) + len(keys["test"]) == 20_640
    blocks = [each for each, _ in sides["test"]]
    values = np.array([value for _, value in sides["test"]])
    columns = np.nan_to_num(features(blocks)["numbers"])
    correlations = np.abs(np.corrcoef(columns.T, values)[-1, :-1])
    assert NUMBERS[int(correlations.argmax())] == "income"
    assert correlations.max() < 0.75


def test_ratios_by_hand() -> None:
    block = Block(
        longitude=-120,
        latitude=38,
        house_age=10,
        rooms=600,
        bedrooms=120,
        population=300,
        households=100,
        income=5,
        ocean="INLAND",
    )
    values = dict(zip(NUMBERS, features([block])["numbers"][0].tolist(), strict=True))
    assert (values["rooms_per_household"], values["people_per_household"]) == (6, 3)
    assert values["bedrooms_per_room"] == pytest.approx(0.2)
    (unknown,) = features([block.model_copy(update={"bedrooms": None})])["numbers"]
    assert np.isnan(unknown[[NUMBERS.index("bedrooms"), NUMBERS.index("bedrooms_per_room")]]).all()


def test_candidates_are_ordered_from_the_simplest_to_the_most_complex() -> None:
    def size(model: Boosting) -> tuple[bool, int]:
        return model.trees > 1, model.limits.max_depth

    sizes = [size(model) for model in train.own(120, 0.1, 0).values()]
    assert sizes == sorted(sizes)


def test_the_standard_error_of_the_rmse_agrees_with_the_delta_method() -> None:
    """It is the standard error of the mean square, divided by twice the RMSE."""
    rng = np.random.default_rng(6)
    values = rng.uniform(0.5, 4, 3000)
    scores = values + rng.normal(0, 0.2, 3000)
    squares = (np.clip(scores, 0, 5.00001) - values) ** 2 * 1e10
    wanted = squares.std() / np.sqrt(3000) / 2 / np.sqrt(squares.mean())
    assert train.rmse_error(scores, values, 0) == pytest.approx(wanted, rel=0.15)


def test_the_boosting_file_makes_the_stages_run_again() -> None:
    stages = yaml.safe_load((find("boosting_from_scratch").folder / "dvc.yaml").read_text())[
        "stages"
    ]
    for name in ("fit", "evaluate"):
        assert "boosting.py" in stages[name]["deps"]
    assert "speed.json" in stages["evaluate"]["deps"]


def test_each_model_of_the_picture_was_timed() -> None:
    every = {*train.own(1, 0.1, 0), *train.libraries(1, 0.1, 0, classify=False), "log_loss"}
    assert set(json.loads(speed.FILE.read_text())) == every
