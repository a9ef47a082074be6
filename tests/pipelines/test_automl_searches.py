"""The parts of the AutoML: space, Gaussian process, searches, and the support vector machine."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from scipy.integrate import quad
from scipy.optimize import check_grad
from scipy.stats import norm, ttest_rel
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from pipelines.ml.automl_from_scratch import (
    comparison,
)
from pipelines.ml.automl_from_scratch.gaussian import Gaussian, Kernel, expected_improvement, loss
from pipelines.ml.automl_from_scratch.learners import PICTURES
from pipelines.ml.automl_from_scratch.search import (
    RANDOM_FIRST,
    bayesian,
    halved,
    random_search,
    tpe,
)
from pipelines.ml.automl_from_scratch.space import Choice, Float, Int, Settings, Space
from pipelines.ml.automl_from_scratch.svm import WHOLE_VOTES, Svm
from pipelines.ml.automl_from_scratch.upright import upright
from slipway.training.tabular import export_onnx


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    points = rng.random((25, 4))
    return points, np.sin(5 * points[:, 0]) + points[:, 1] ** 2 + rng.normal(0, 0.05, 25)


def test_the_posterior_equals_scikit_learns(sample: tuple[np.ndarray, np.ndarray]) -> None:
    points, values = sample
    scales = np.array([0.3, 0.7, 2.0, 5.0])
    held = (values - values.mean()) / values.std()
    theirs = GaussianProcessRegressor(
        ConstantKernel(1.7) * Matern(scales, nu=2.5), alpha=0.02, optimizer=None
    ).fit(points, held)
    queries = np.random.default_rng(1).random((50, 4))
    mean, deviation = theirs.predict(queries, return_std=True)
    ours = Gaussian.given(Kernel(1.7, scales, 0.02), points, values)
    predicted, spread = ours.predict(queries)
    assert predicted == pytest.approx(values.mean() + values.std() * mean, abs=1e-6)
    assert spread == pytest.approx(values.std() * deviation, abs=1e-6)
    logs = np.log([1.7, 0.02, *scales])
    assert -loss(logs, points, held)[0] == pytest.approx(theirs.log_marginal_likelihood_value_)


def test_the_gradient_equals_a_numeric_one(sample: tuple[np.ndarray, np.ndarray]) -> None:
    points, values = sample
    for logs in (np.zeros(6), np.log([2.0, 0.1, 0.3, 1.0, 0.5, 4.0])):
        gap = check_grad(
            lambda at: loss(at, points, values)[0], lambda at: loss(at, points, values)[1], logs
        )
        assert gap < 1e-4


def test_important_columns_have_short_length_scales(sample: tuple[np.ndarray, np.ndarray]) -> None:
    scales = Gaussian.fit(*sample).kernel.scales
    assert scales[0] < scales[2] / 2
    assert scales[0] < scales[3] / 2


@pytest.mark.parametrize("best", [-1.0, 0.3, 2.5])
def test_expected_improvement_is_the_integral(best: float) -> None:
    mean, deviation = 0.4, 0.7
    wanted, _ = quad(
        lambda value: (value - best) * norm.pdf(value, mean, deviation), best, mean + 12 * deviation
    )
    (improvement,) = expected_improvement(np.array([mean]), np.array([deviation]), best)
    assert improvement == pytest.approx(wanted, abs=1e-8)


def test_settings_survive_encoding_and_exist_only_under_their_condition() -> None:
    rng = np.random.default_rng(2)
    depths = set()
    for _ in range(200):
        drawn = PICTURES.draw(rng)
        assert PICTURES.encode(drawn).shape == (PICTURES.width,)
        again = PICTURES.decode(PICTURES.encode(drawn))
        assert again.keys() == drawn.keys()
        assert all(again[name] == pytest.approx(drawn[name]) for name in drawn)
        widths = {f"width_{layer}" for layer in range(1, drawn.get("depth", 0) + 1)}
        assert widths == {name for name in drawn if name.startswith("width")}
        assert ("C" in drawn) == ("reach" in drawn) == (drawn["learner"] == "svm")
        assert ("linear_C" in drawn) == (drawn["learner"] == "logistic")
        assert ("kept" in drawn) == (drawn["reduce"] == "pca")
        depths.add(drawn.get("depth"))
    assert depths == {None, 1, 2}


def test_ranges_are_filled_evenly() -> None:
    rng = np.random.default_rng(3)
    space = Space({"a": Int(1, 3), "b": Float(1e-4, 1e4, log=True), "c": Choice(("x", "y"))})
    drawn = [space.draw(rng) for _ in range(3000)]
    counts = np.bincount([each["a"] for each in drawn])[1:]
    assert counts == pytest.approx(1000, rel=0.12)
    assert np.mean([each["b"] < 1 for each in drawn]) == pytest.approx(0.5, abs=0.04)
    assert np.mean([each["c"] == "x" for each in drawn]) == pytest.approx(0.5, abs=0.04)
    with pytest.raises(ValueError, match="must come before"):
        Space({"a": Int(1, 3, when=("b", (1,))), "b": Int(1, 2)})


def bumpy(settings: Settings) -> float:
    """Return at most 1, at x = 0.8 and y = 0.01 with the kind "good"."""
    if settings["kind"] != "good":
        return 0.3 * settings["x"]
    return float(1 - (settings["x"] - 0.8) ** 2 - (np.log10(settings["y"]) + 2) ** 2 / 9)


BUMPY = Space(
    {
        "kind": Choice(("good", "bad")),
        "x": Float(0, 1),
        "y": Float(1e-5, 1, log=True, when=("kind", ("good",))),
    }
)


def test_bayesian_optimization_gets_nearer_than_random_search() -> None:
    def off(way: object) -> float:
        runs = [way(BUMPY, bumpy, trials=20, seed=seed) for seed in range(4)]  # type: ignore[operator]
        return float(np.mean([1 - max(value for _, value in run) for run in runs]))

    process, chance = off(bayesian), off(random_search)
    assert process < 0.002
    assert process < chance / 3
    assert off(tpe) < 0.2


def test_searches_with_the_same_seed_begin_with_the_same_random_settings() -> None:
    ways = (random_search, tpe, bayesian)
    for seed in (1, 2):
        one, *others = (way(PICTURES, lambda _: 0.5, trials=9, seed=seed) for way in ways)
        assert len({json.dumps(each, sort_keys=True) for each, _ in one}) == 9
        for other in others:
            for (mine, _), (theirs, _) in zip(one[:RANDOM_FIRST], other, strict=False):
                assert mine.keys() == theirs.keys()
                assert all(theirs[name] == pytest.approx(mine[name]) for name in mine)
            assert other[RANDOM_FIRST:] != one[RANDOM_FIRST:]


def test_gains_are_paired_differences_with_students_interval() -> None:
    rng = np.random.default_rng(4)
    found = {
        "random_search": rng.random((10, 3)),
        "optuna_tpe": rng.random((10, 3)),
        "gaussian_process": rng.random((10, 3)),
    }
    metrics = comparison.gains("gaussian_process", found)
    for short, rival in (("random", "random_search"), ("tpe", "optuna_tpe")):
        mine, theirs = found["gaussian_process"][:, -1], found[rival][:, -1]
        ends = ttest_rel(mine, theirs).confidence_interval(0.95)
        assert metrics[f"over_{short}"] == pytest.approx((mine - theirs).mean())
        assert metrics[f"over_{short}_low"] == pytest.approx(ends.low)
        assert metrics[f"over_{short}_high"] == pytest.approx(ends.high)
    assert comparison.gains("random_search", found) == {}


@pytest.mark.parametrize("load", [load_digits, load_breast_cancer])
def test_the_machine_equals_scikit_learns(load: Callable, tmp_path: Path) -> None:
    """With ten classes and with two: labels, decisions, and both in ONNX."""
    numbers, names = load(return_X_y=True)
    numbers = numbers[:500] / numbers.max(axis=0).clip(1)
    labels = names[:500].astype(str)
    theirs = SVC(C=3.0, decision_function_shape="ovo").fit(numbers, labels)
    exact = Svm(C=3.0, steepness=WHOLE_VOTES).fit(numbers, labels)
    assert (exact.predict(numbers) == theirs.predict(numbers)).all()
    decisions = theirs.decision_function(numbers).reshape(len(numbers), -1)
    sign = -1 if len(theirs.classes_) == 2 else 1
    assert exact.decisions(numbers) == pytest.approx(sign * decisions, abs=1e-9)
    for steepness in (8.0, WHOLE_VOTES):
        model = make_pipeline(Svm(C=3.0, steepness=steepness)).fit(numbers, labels)
        export_onnx(model, {"numbers": numbers.shape[1]}, tmp_path)
        session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
        label, y_prob = session.run(None, {"numbers": numbers.astype(np.float32)})
        assert (label == model.predict(numbers)).all()
        if steepness < WHOLE_VOTES:
            assert y_prob == pytest.approx(model.predict_proba(numbers), abs=1e-3)


def test_a_slanted_stroke_comes_upright_and_a_straight_one_stays() -> None:
    straight = np.zeros((28, 28), dtype=np.float32)
    straight[4:24, 13:15] = 1
    slanted = np.zeros((28, 28), dtype=np.float32)
    for row in range(4, 24):
        slanted[row, 4 + row // 2 : 6 + row // 2] = 1
    made = upright(np.stack([straight, slanted, np.zeros_like(straight)]))
    assert made[0] == pytest.approx(straight, abs=1e-6)
    used = made[1].max(axis=0) > 0.3
    assert used.sum() <= 3 < (slanted.max(axis=0) > 0.3).sum()
    assert made[1].sum() == pytest.approx(slanted.sum(), rel=0.01)
    assert not made[2].any()


def test_a_search_is_reproducible_and_begins_with_its_starts() -> None:
    start: list[Settings] = [{"kind": "good", "x": 0.7, "y": 0.02}]
    one, other = (bayesian(BUMPY, bumpy, trials=9, seed=5, starts=start) for _ in range(2))
    assert one == other
    assert one[0][0] == start[0]
    assert len(one) == 9


def test_halving_drops_the_worse_settings() -> None:
    settings: list[Settings] = [{"x": value} for value in range(16)]
    scored: list[int] = []

    def last(each: Settings) -> float:
        scored.append(each["x"])
        return -float(each["x"])

    climbed = halved(settings, [lambda each: float(each["x"]), lambda each: 0.0, last], share=4)
    assert [len(rung) for rung in climbed] == [16, 4, 1]
    assert {each["x"] for each, _ in climbed[1]} == {12, 13, 14, 15}
    assert scored == [climbed[2][0][0]["x"]]
