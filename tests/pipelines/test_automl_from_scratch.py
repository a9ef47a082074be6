"""AutoML from scratch: Gaussian process, machine, searches, history, and anyone's table."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import log_loss
from sklearn.svm import SVC

from pipelines.ml.automl_from_scratch import (
    data,
    history,
    report,
    train,
)
from pipelines.ml.automl_from_scratch.learners import TABLES, Task
from pipelines.ml.automl_from_scratch.model import (
    LABELS,
    PIXELS,
    AutomlFromScratch,
    Drawing,
    ReadDigit,
    features,
)
from pipelines.ml.automl_from_scratch.space import Settings
from slipway.datasets import fetch
from slipway.project import find
from slipway.training import Candidate, Fitted, LabelledRows

Sides = dict[str, list[tuple[Drawing, str]]]


@pytest.fixture(scope="module")
def sides() -> Sides:
    split = data.splits(fetch("mnist"), train_rows=10_000)
    return {name: list(rows) for name, rows in split.items()}


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
