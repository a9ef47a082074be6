"""AutoML from scratch: Gaussian process, machine, searches, history, and anyone's table."""

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
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from pipelines.ml.automl_from_scratch import (
    columns,
    comparison,
    data,
    history,
    limits,
    report,
    table,
    table_search,
    train,
)
from pipelines.ml.automl_from_scratch.gaussian import Gaussian, Kernel, expected_improvement, loss
from pipelines.ml.automl_from_scratch.learners import PICTURES, TABLES, Task
from pipelines.ml.automl_from_scratch.model import (
    LABELS,
    PIXELS,
    AutomlFromScratch,
    Drawing,
    ReadDigit,
    features,
)
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
from slipway.datasets import fetch
from slipway.project import find
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.tabular import export_onnx
from tests.pipelines.limited_jobs import TRIED, broken, hungry, slow

Sides = dict[str, list[tuple[Drawing, str]]]


@pytest.fixture(scope="module")
def sides() -> Sides:
    split = data.splits(fetch("mnist"), train_rows=10_000)
    return {name: list(rows) for name, rows in split.items()}


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    points = rng.random((25, 4))
    return points, np.sin(5 * points[:, 0]) + points[:, 1] ** 2 + rng.normal(0, 0.05, 25)


def first_rows(sides: Sides, rows: int) -> LabelledRows:
    some = sides["train"][:rows]
    return LabelledRows([each for each, _ in some], [digit for _, digit in some])


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


def test_no_test_picture_is_among_the_training_pictures(sides: Sides) -> None:
    pictures = {name: {each.image for each, _ in rows} for name, rows in sides.items()}
    assert {name: len(each) for name, each in pictures.items()} == {"train": 10_000, "test": 10_000}
    assert not pictures["train"] & pictures["test"]
    assert {digit for _, digit in sides["train"]} == set(LABELS)


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
    past = history.build_history([tasks["vowel"], tasks["pima"]], TABLES, trials=4, seed=1)
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
    fitted = fit_quickly(rows, tmp_path, seeds=[1, 2], rungs=[100, 200])
    for task in tasks_seen["train"]:
        held = {row.tobytes() for row in task.held[0]}
        assert held == keys[2] if task.name == "judge" else held == keys[1]
        assert {row.tobytes() for row in task.learn[0]} <= keys[0]
    # The history sees the meta-features of the pixels, and tries no settings on them.
    (seen_by_history,) = tasks_seen["starts"]
    assert seen_by_history.name == "digits_100"
    assert seen_by_history.learn[0].shape == (100, PIXELS)
    assert (seen_by_history.learn[0] == parts[0][0][:100, :PIXELS]).all()
    assert [task.name for task in tasks_seen["history"]] == ["vowel"] * 2
    assert {task.learn[0].shape for task in tasks_seen["history"]} == {(40, 13)}
    assert sum(task.name == "judge" for task in tasks_seen["train"]) == len(fitted.candidates)
    served = AutomlFromScratch()
    served.load(tmp_path)
    predictions = served.predict(rows.records[:50])
    framework_predict = fitted.framework_predict(rows.records[:50])
    assert [each.label for each in predictions] == [each.label for each in framework_predict]
    # The default machine is scikit-learn's own, on the pixels of all rows.
    numbers = features(rows.records)["numbers"][:, :PIXELS].astype(np.float64)
    default = SVC().fit(numbers, rows.labels)
    assert [each.default_label for each in predictions] == default.predict(numbers[:50]).tolist()


def test_the_sharpness_lowers_the_log_loss_and_keeps_every_label(sides: Sides) -> None:
    learn, watch, judge = train.split(first_rows(sides, 500), 1)
    settings: Settings = {
        "view": "upright",
        "scale": "none",
        "reduce": "pca",
        "kept": 0.8,
        "learner": "svm",
        "C": 5.0,
        "reach": 1.0,
    }
    found = train.calibrated(settings, learn, judge, 1)
    made = {
        power: train.fitted({**settings, "sharpness": power}, learn, 1)
        for power in (found["sharpness"], found["sharpness"] * 1.5, found["sharpness"] / 1.5)
    }
    best, *others = (
        log_loss(judge[1], each.predict_proba(judge[0]), labels=each.classes_)
        for each in made.values()
    )
    assert best < min(others)
    labels = [each.predict(watch[0]).tolist() for each in made.values()]
    assert labels[0] == labels[1] == labels[2]
    linear = {"learner": "logistic"}
    assert train.calibrated(linear, learn, judge, 1) is linear


def test_the_gain_is_paired_over_the_same_pictures() -> None:
    def read(label: str, default: str) -> ReadDigit:
        probabilities = {each: float(each == label) for each in LABELS}
        return ReadDigit(
            label=label, probability=1.0, probabilities=probabilities, default_label=default
        )

    labels = [*LABELS] * 10
    predictions = [read(each, "0" if place < 20 else each) for place, each in enumerate(labels)]
    metrics = report.score(predictions=predictions, labels=labels)
    assert metrics["accuracy"] == 1.0
    assert metrics["baseline_accuracy"] == pytest.approx(0.82)
    assert metrics["gain"] == pytest.approx(0.18)
    assert 0.08 < metrics["gain_low"] < 0.18 < metrics["gain_high"] < 0.28


def test_the_accuracy_has_a_binomial_standard_error() -> None:
    metrics = train.with_error(Candidate("any", {"accuracy": 0.8, "found": 0.7}), 400).metrics
    assert metrics["accuracy_se"] == pytest.approx(0.02)
    assert list(metrics)[-1] == "accuracy_se"


def test_only_a_search_written_here_is_served(
    sides: Sides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither Optuna's winner nor a candidate without a search is served, even if it is best."""
    with_error = train.with_error

    def flattered(candidate: Candidate, rows: int) -> Candidate:
        if candidate.name in ("optuna_tpe", "default_network"):
            candidate.metrics["accuracy"] = 1.0
        return with_error(candidate, rows)

    monkeypatch.setattr(train, "with_error", flattered)
    rows = first_rows(sides, 300)
    fitted = fit_quickly(rows, tmp_path, seeds=[1, 2], rungs=[60, 100])
    assert fitted.chosen in train.OWN
    for each in fitted.candidates:
        if each.name in report.COLOURS:
            # The trials of two seeds are halved together, and several reach the last rung.
            assert 7 < len(each.curves["rung_0"]) <= 14
            assert len(each.curves["rung_1"]) > 1


@pytest.mark.parametrize("learner", ["svm", "logistic", "network"])
@pytest.mark.parametrize("view", ["pixels", "upright"])
def test_every_learner_is_exported_and_an_empty_request_gets_an_empty_response(
    learner: str, view: str, sides: Sides, tmp_path: Path
) -> None:
    """The ONNX graph of a network alone would reject an empty batch."""
    shared: Settings = {"view": view, "scale": "standard", "reduce": "pca", "kept": 0.8}
    machine: Settings = {"C": 2.0, "reach": 1.0, "linear_C": 1.0}
    network: Settings = {"depth": 1, "width_1": 8, "step": 0.01, "activation": "relu"}
    settings = {**shared, **machine, **network, "penalty": 0.1, "learner": learner}
    some = train.split(first_rows(sides, 300), 0)[0]
    train.exported(train.DEFAULT_SVM, some, tmp_path, 0)
    (tmp_path / "model.onnx").rename(tmp_path / "default.onnx")
    made = train.exported(settings, some, tmp_path, 0)
    served = AutomlFromScratch()
    served.load(tmp_path)
    assert served.predict([]) == []
    records = [each for each, _ in sides["test"][:40]]
    y_prob = ReadDigit.to_probabilities(served.predict(records))
    numbers = features(records)["numbers"]
    assert y_prob == pytest.approx(made.predict_proba(numbers), abs=1e-4)


def test_only_a_network_is_trained_for_more_epochs() -> None:
    network: Settings = {"learner": "network", "depth": 1}
    tried = train.longer(network, [60, 120])
    assert [each.get("epochs") for each in tried] == [None, 60, 120]
    assert all(each.items() >= network.items() for each in tried)
    assert train.longer({"learner": "logistic"}, [60]) == [{"learner": "logistic"}]


TITANIC = ("titanic", "train.csv", "Survived")
HEART = ("heart_disease_4_sites", "heart_disease_uci.csv", "num")


@pytest.mark.parametrize(("name", "file", "target"), [TITANIC, HEART])
def test_a_real_table_with_categories_and_missing_values(
    name: str, file: str, target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = fetch(name).path(file)
    limits_of_search = ["--trials", "7", "--output", str(tmp_path)]
    assert table.main([str(source), "--target", target, *limits_of_search]) == 0
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["search"]["trials"] == len(found["trials"]) == 7
    assert found["search"]["validation_accuracy"] == max(each["score"] for each in found["trials"])
    assert found["agreement"] >= table.AGREEMENT
    held = found["held_out"]
    assert held["search"]["accuracy"] > held["majority"]["accuracy"] + 0.05
    for other in ("majority", "default_logistic", "default_svm"):
        gap = held["search"]["accuracy"] - held[other]["accuracy"]
        assert held[other]["search_ahead"] == pytest.approx(gap)
        assert held[other]["search_ahead_low"] <= gap <= held[other]["search_ahead_high"]
        assert other in printed
    # The graph alone classifies cells of the raw table, also missing and unknown ones.
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (label,) = session.run(
        ["label"],
        {
            "numbers": np.full((1, len(found["inputs"]["numbers"])), np.nan, dtype=np.float32),
            "categories": np.full((1, len(found["inputs"]["categories"])), "never seen", object),
        },
    )
    assert label[0] in found["labels"]


def test_columns_are_detected() -> None:
    passengers = columns.read_table(fetch("titanic").path("train.csv"), "Survived")
    assert passengers.numbers == ["Pclass", "Age", "SibSp", "Parch", "Fare"]
    assert passengers.categories == ["Sex", "Embarked"]
    assert set(passengers.left_out) == {"PassengerId", "Name", "Ticket", "Cabin"}
    assert passengers.left_out["PassengerId"] == "a row number"
    assert set(passengers.labels) == {"0", "1"}
    ages = passengers.cells[:, 1].astype(float)
    assert np.isnan(ages).sum() == 177
    assert (passengers.cells[:, 6] == "").sum() == 2


def test_equal_rows_stay_together_in_every_split() -> None:
    passengers = columns.read_table(fetch("titanic").path("train.csv"), "Survived")
    keys = np.array([str(row.tolist()) for row in passengers.cells])
    assert len(set(keys)) < len(keys)
    learn, test = columns.held_out(passengers, 0)
    assert len(learn) + len(test) == 891
    assert 150 < len(test) < 210
    assert not set(keys[learn]) & set(keys[test])
    for part, rest in columns.folds_of(passengers, learn, 4, 0):
        assert not set(keys[part]) & set(keys[rest])
        assert set(part) | set(rest) == set(learn)


def write_table(folder: Path, rows: list[str]) -> Path:
    file = folder / "some.csv"
    file.write_text("\n".join(rows) + "\n")
    return file


@pytest.mark.parametrize(
    ("rows", "target", "message"),
    [
        (["a,b", *(f"{each},{each % 2}" for each in range(80))], "c", "no column 'c'"),
        (["a,b", *(f"{each},{each % 2}" for each in range(30))], "b", "30 rows have a value"),
        (["a,b", *(f"{each},x" for each in range(80))], "b", "'x' in every row"),
        (["a,b", *(f"{each},{each * 1.5}" for each in range(80))], "b", "80 values"),
        (["a,b", "1,rare", *(f"{each},{each % 2}" for each in range(80))], "b", "'rare' in 1 rows"),
        (["a,b", *(f"5,{each % 2}" for each in range(80))], "b", "no column beside 'b'"),
        (["a,b"], "b", "no rows below its header"),
        (["word"] * 80, "b", "not a CSV file"),
    ],
)
def test_a_bad_table_is_refused_with_its_reason(
    rows: list[str],
    target: str,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = write_table(tmp_path, rows)
    output = tmp_path / "made"
    assert table.main([str(file), "--target", target, "--output", str(output)]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert str(file) in error
    assert not output.exists()


def test_a_missing_or_binary_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert table.main([str(tmp_path / "none.csv"), "--target", "b"]) == 1
    assert "there is no such file" in capsys.readouterr().err
    (tmp_path / "some.csv").write_bytes(bytes(range(256)) * 40)
    assert table.main([str(tmp_path / "some.csv"), "--target", "b"]) == 1
    assert "not a CSV file" in capsys.readouterr().err


def test_a_table_with_semicolons_and_missing_labels_is_read(tmp_path: Path) -> None:
    rows = ["size;colour;kind", *(f"{each};red;{each % 2}" for each in range(0, 160, 2))]
    rows += [f"{each};blue;{each % 2}" for each in range(1, 160, 2)] + ["3;red;", "4;blue;"]
    found = columns.read_table(write_table(tmp_path, rows), "kind")
    assert (found.numbers, found.categories) == (["size"], ["colour"])
    assert found.unlabelled == 2
    # pandas reads whole numbers beside missing ones as floats.
    assert set(found.labels) == {"0", "1"}


def test_a_large_table_is_tried_again_with_more_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    rows = ["a,b,kind"]
    for a, b in rng.normal(size=(400, 2)):
        rows.append(f"{a:.4f},{b:.4f},{'far' if a**2 + b**2 > 1.4 else 'near'}")
    monkeypatch.setattr(table_search, "ROWS_FOR_ONE_FOLD", 300)
    monkeypatch.setattr(table_search, "FIRST_RUNG", 60)
    found = columns.read_table(write_table(tmp_path, rows), "kind")
    learn, _ = columns.held_out(found, 0)
    trials: list[limits.Trial] = []
    table_search.search(trials.append, table=found, rows=learn, trials=8, seconds=600, seed=0)
    assert [each.rows for each in trials[:8]] == [60] * 8
    assert [each.settings for each in trials[:2]] == list(table_search.DEFAULTS.values())
    again = trials[8:]
    assert len(again) == table_search.LAST_RUNG
    assert {each.rows for each in again} == {len(learn) * 3 // 4}
    best = table_search.best_trials(trials)
    assert best[0] in again
    assert best[0].score == max(each.score or 0 for each in again)


def test_settings_beyond_the_memory_are_recorded_and_the_search_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passengers = columns.read_table(fetch("titanic").path("train.csv"), "Survived")

    def scored(settings: Settings, *rest: object) -> float:
        if settings["learner"] == "svm":
            raise MemoryError
        return 0.7

    monkeypatch.setattr(table_search, "accuracy", scored)
    trials: list[limits.Trial] = []
    rows = np.arange(300)
    table_search.search(trials.append, table=passengers, rows=rows, trials=7, seconds=600, seed=0)
    assert len(trials) == 7
    for each in trials:
        assert (each.score is None) == (each.settings["learner"] == "svm")
    assert all(each.score for each in table_search.best_trials(trials))


def test_a_search_is_stopped_after_its_time_and_keeps_its_trials() -> None:
    # The time includes starting Python, which takes longer on a busy machine.
    runs = (limits.run_limited(slow, {}, seconds=each, megabytes=200) for each in (5, 25, 100))
    found, ended = next(each for each in runs if each[0])
    assert (found, ended) == ([TRIED], "killed")


def test_a_search_beyond_its_memory_or_with_an_error_says_so() -> None:
    assert limits.run_limited(hungry, {}, seconds=100, megabytes=600) == ([TRIED], "done")
    with pytest.raises(limits.SearchFailed, match="MemoryError"):
        limits.run_limited(hungry, {}, seconds=100, megabytes=200)
    with pytest.raises(limits.SearchFailed, match="no such setting"):
        limits.run_limited(broken, {}, seconds=100, megabytes=200)
