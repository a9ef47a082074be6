"""AutoML from scratch: Gaussian process, expected improvement, searches and history."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import check_grad
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from pipelines.ml.automl_from_scratch import data, history, report, train
from pipelines.ml.automl_from_scratch.gaussian import Gaussian, Kernel, expected_improvement, loss
from pipelines.ml.automl_from_scratch.learners import SPACE, Task
from pipelines.ml.automl_from_scratch.model import LETTERS, AutomlFromScratch, Glyph
from pipelines.ml.automl_from_scratch.search import bayesian, halved, random_search, tpe
from pipelines.ml.automl_from_scratch.space import Choice, Float, Int, Settings, Space
from slipway.datasets import fetch
from slipway.project import find
from slipway.training import Fitted, LabelledRows

Sides = dict[str, list[tuple[Glyph, str]]]


@pytest.fixture(scope="module")
def sides() -> Sides:
    split = data.splits(fetch("keel_letter"), seed=1, test_share=0.25)
    return {name: list(rows) for name, rows in split.items()}


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    points = rng.random((25, 4))
    return points, np.sin(5 * points[:, 0]) + points[:, 1] ** 2 + rng.normal(0, 0.05, 25)


def first_rows(sides: Sides, rows: int) -> LabelledRows:
    some = sides["train"][:rows]
    return LabelledRows([each for each, _ in some], [letter for _, letter in some])


def fit_quickly(rows: LabelledRows, weights: Path, *, seeds: list[int], rungs: list[int]) -> Fitted:
    """Run all of the project's training, with few trials and one earlier task."""
    return train.fit(
        train=rows,
        weights=weights,
        seed=1,
        seeds=seeds,
        trials=7,
        tasks=["vowel"],
        task_rows=40,
        task_trials=2,
        nearest=1,
        from_each=1,
        rungs=rungs,
        share=4,
        epochs=[25],
    )


def test_no_letter_is_repeated(sides: Sides) -> None:
    keys = [each.model_dump_json() for rows in sides.values() for each, _ in rows]
    assert len(set(keys)) == len(keys) == 18_668
    assert {letter for _, letter in sides["train"]} == set(LETTERS)


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
        drawn = SPACE.draw(rng)
        assert SPACE.encode(drawn).shape == (SPACE.width,)
        again = SPACE.decode(SPACE.encode(drawn))
        assert again.keys() == drawn.keys()
        assert all(again[name] == pytest.approx(drawn[name]) for name in drawn)
        widths = {f"width_{layer}" for layer in range(1, drawn.get("depth", 0) + 1)}
        assert widths == {name for name in drawn if name.startswith("width")}
        assert ("C" in drawn) == (drawn["learner"] == "logistic")
        depths.add(drawn.get("depth"))
    assert depths == {None, 1, 2, 3}


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


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    names = find("automl_from_scratch").params.fit["tasks"]
    made = data.earlier_tasks(fetch("keel_small_tasks"), names=names, learn=150, held=60, seed=0)
    return {each.name: each for each in made}


def test_a_task_is_nearest_to_itself_in_the_history(tasks: dict[str, Task]) -> None:
    past = [history.Past(name, history.meta_features(task), []) for name, task in tasks.items()]
    classes = {name: len(np.unique(task.learn[1])) for name, task in tasks.items()}
    assert (classes["vowel"], classes["phoneme"], classes["penbased"]) == (11, 2, 10)
    for name, task in tasks.items():
        (nearest, far), *rest = history.by_similarity(task, past)
        assert (nearest.name, far) == (name, 0)
        assert min(other for _, other in rest) > 0
        known = {row.tobytes() for row in task.learn[0]}
        assert not known & {row.tobytes() for row in task.held[0]}


def test_starts_are_the_best_of_the_nearest_without_repeats(tasks: dict[str, Task]) -> None:
    past = history.build_history([tasks["vowel"], tasks["pima"]], SPACE, trials=4, seed=1)
    assert [each for each, _ in past[0].tried] == [each for each, _ in past[1].tried]
    found = history.starts(tasks["vowel"], past, tasks=2, each=2)
    best = max(past[0].tried, key=lambda tried: tried[1])[0]
    assert found[0] == best
    assert len(found) == 4 == len({str(each) for each in found})


def test_no_search_sees_the_rows_that_compare_winners(
    sides: Sides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Searches and history score on other rows than those that compare the winners."""
    rows = first_rows(sides, 500)
    parts = train.split(rows, 1)
    keys = [{row.tobytes() for row in part[0]} for part in parts]
    assert [len(each) for each in keys] == [300, 100, 100]
    assert not keys[0] & keys[1] | keys[1] & keys[2] | keys[0] & keys[2]
    tasks_seen: dict[str, list[Task]] = {"train": [], "history": [], "starts": []}

    def seen(by: str, real: Callable) -> Callable:
        def spy(*arguments: object, **named: object) -> object:
            tasks_seen[by].append(next(each for each in arguments if isinstance(each, Task)))
            return real(*arguments, **named)

        return spy

    monkeypatch.setattr(train, "accuracy", seen("train", train.accuracy))
    monkeypatch.setattr(history, "accuracy", seen("history", history.accuracy))
    monkeypatch.setattr(train, "starts", seen("starts", train.starts))
    fitted = fit_quickly(rows, tmp_path, seeds=[1], rungs=[100, 200])
    for task in tasks_seen["train"] + tasks_seen["starts"]:
        held = {row.tobytes() for row in task.held[0]}
        assert held == keys[2] if task.name == "judge" else held == keys[1]
        assert {row.tobytes() for row in task.learn[0]} <= keys[0]
    # The history sees the meta-features of the letters, and tries no settings on them.
    assert [task.name for task in tasks_seen["starts"]] == ["letters_100"]
    assert [task.name for task in tasks_seen["history"]] == ["vowel"] * 2
    assert {task.learn[0].shape for task in tasks_seen["history"]} == {(40, 13)}
    assert sum(task.name == "judge" for task in tasks_seen["train"]) == len(fitted.candidates) - 1
    served = AutomlFromScratch()
    served.load(tmp_path)
    predictions = served.predict(rows.records[:50])
    framework_predict = fitted.framework_predict(rows.records[:50])
    assert [each.letter for each in predictions] == [each.letter for each in framework_predict]


def test_the_accuracy_has_a_binomial_standard_error() -> None:
    metrics = train.with_error(train.Candidate("any", {"accuracy": 0.8, "found": 0.7}), 400).metrics
    assert metrics["accuracy_se"] == pytest.approx(0.02)
    assert list(metrics)[-1] == "accuracy_se"


def test_only_a_search_written_here_is_served(
    sides: Sides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither Optuna's winner nor a candidate without a search is served, even if it is best."""
    best = train.candidate

    def flattered(name: str, settings: Settings, metrics: dict[str, float], *rest: list) -> object:
        if name == "optuna_tpe":
            metrics["accuracy"] = 1.0
        return best(name, settings, metrics, *rest)

    monkeypatch.setattr(train, "candidate", flattered)
    rows = first_rows(sides, 300)
    fitted = fit_quickly(rows, tmp_path, seeds=[1, 2], rungs=[60, 100])
    assert fitted.chosen in train.OWN
    for each in fitted.candidates:
        if each.name in report.COLOURS:
            # The trials of two seeds are halved together, and several reach the last rung.
            assert 7 < len(each.curves["rung_0"]) <= 14
            assert len(each.curves["rung_1"]) > 1


@pytest.mark.parametrize("learner", ["logistic", "network"])
def test_an_empty_request_gets_an_empty_response(
    learner: str, sides: Sides, tmp_path: Path
) -> None:
    """The ONNX graph of a network alone would reject an empty batch."""
    settings = {"learner": learner, "degree": 2, "C": 1.0, "depth": 1, "width_1": 8, "step": 0.01}
    some = train.split(LabelledRows(*zip(*sides["train"][:300], strict=True)), 0)[0]
    made = train.fitted({**settings, "activation": "relu", "penalty": 0.1}, some, 0)
    train.export_onnx(made, {"numbers": len(train.NUMBERS)}, tmp_path)
    served = AutomlFromScratch()
    served.load(tmp_path)
    assert served.predict([]) == []
    assert len(served.predict([sides["test"][0][0]])) == 1


def test_only_a_network_is_trained_for_more_epochs() -> None:
    network: Settings = {"learner": "network", "depth": 1}
    tried = train.longer(network, [60, 120])
    assert [each.get("epochs") for each in tried] == [None, 60, 120]
    assert all(each.items() >= network.items() for each in tried)
    assert train.longer({"learner": "logistic"}, [60]) == [{"learner": "logistic"}]
