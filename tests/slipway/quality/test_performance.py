"""Performance metrics of the monitor: values, intervals, targets and degraded metrics."""

import random
from typing import Any

import numpy as np
import pytest

from slipway.quality import performance
from slipway.quality.performance import Margin, Target
from tests.services import monitored_project

REFERENCE = monitored_project.reference_rows(1000)


def test_metrics_agree_with_scikit_learn() -> None:
    from sklearn import metrics

    rng = np.random.default_rng(2)
    y_true = rng.random(500) < 0.3
    y_prob = np.clip(0.3 * y_true + 0.7 * rng.random(500), 0, 1).round(2)
    pairs = [
        ({"hit": bool(p >= 0.5), "chance": float(p)}, {"hit": bool(t)})
        for p, t in zip(y_prob, y_true, strict=True)
    ]
    found = {
        each.metric: each for each in performance.scores(pairs, Target("hit", "flag", "chance"))
    }
    assert found["accuracy"].value == pytest.approx(((y_prob >= 0.5) == y_true).mean())
    assert found["f1"].value == pytest.approx(metrics.f1_score(y_true, y_prob >= 0.5))
    assert found["roc_auc"].value == pytest.approx(metrics.roc_auc_score(y_true, y_prob))
    assert found["brier"].value == pytest.approx(metrics.brier_score_loss(y_true, y_prob))
    for each in found.values():
        assert each.low < each.value < each.high


def test_numbers_and_labels_have_their_own_metrics() -> None:
    from sklearn import metrics

    rng = np.random.default_rng(2)
    y_pred, y_true = rng.normal(5, 2, 300), rng.normal(5, 2, 300)
    pairs: list[Any] = [
        ({"price": float(a)}, {"price": float(t)}) for a, t in zip(y_pred, y_true, strict=True)
    ]
    numeric = performance.scores(pairs, Target("price", "number"))
    assert {each.metric: each.value for each in numeric} == pytest.approx(
        {
            "mae": metrics.mean_absolute_error(y_true, y_pred),
            "rmse": metrics.root_mean_squared_error(y_true, y_pred),
            "bias": float((y_pred - y_true).mean()),
            "r2": metrics.r2_score(y_true, y_pred),
        }
    )
    labels = rng.choice(list("abc"), (2, 300))
    pairs = [({"kind": str(a)}, {"kind": str(t)}) for a, t in labels.T]
    multiclass = performance.scores(pairs, Target("kind", "label"))
    assert {each.metric: each.value for each in multiclass} == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(labels[1], labels[0]),
            "macro_f1": metrics.f1_score(labels[1], labels[0], average="macro"),
        }
    )


def test_intervals_have_their_coverage() -> None:
    """About 95 of 100 windows with an accuracy of 0.8 have an interval that covers it."""
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(100):
        right = rng.random(150) < 0.8
        pairs: list[Any] = [({"k": "a"}, {"k": "a" if hit else "b"}) for hit in right]
        score = performance.scores(pairs, Target("k", "label"))[0]
        covered += score.low <= 0.8 <= score.high
    assert 87 <= covered <= 100


def test_the_target_field_is_learnt() -> None:
    rng = random.Random(1)
    rows = []
    for _ in range(50):
        price = rng.uniform(1e5, 3e5)
        rows.append(
            {
                "prediction": {"low": price * 0.8, "price": price, "high": price * 1.2},
                "label": price * rng.uniform(0.9, 1.1),
            }
        )
    assert Target.learn(rows) == Target("price", "number")
    assert Target.learn(REFERENCE) == Target("bought", "flag", "probability")
    labelled = [{"prediction": {"label": "a", "probability": 0.9}, "label": "b"}] * 3
    assert Target.learn(labelled) == Target("label", "label")
    named = [{"prediction": {"a": 1.5, "b": 2.5}, "label": {"b": 2.0}}] * 3
    assert Target.learn(named) == Target("b", "number")
    assert Target.learn([{"prediction": {"x": {}}, "label": 1}]) is None
    assert Target.learn([]) is None


def window(rows: int, right: float, seed: int) -> list[performance.Score]:
    rng = random.Random(seed)
    pairs: list[Any] = []
    for record in monitored_project.traffic(rows, seed=seed):
        predicted = monitored_project.predicted(record)
        pairs.append(
            (predicted, {"bought": monitored_project.drawn_label(predicted, rng, right=right)})
        )
    return performance.scores(pairs, Target("bought", "flag", "probability"))


def test_degraded_metrics_are_found_and_chance_is_not() -> None:
    target = Target.learn(REFERENCE)
    assert target is not None
    reference = performance.scores(target.pairs(REFERENCE), target)
    for seed in range(20):
        assert performance.degraded_metrics(window(300, 0.85, seed), reference, Margin()) == []
    [message, *_] = performance.degraded_metrics(window(300, 0.6, 50), reference, Margin())
    assert message.startswith("accuracy 0.")
    assert "on the test rows 0.8" in message
    assert performance.degraded_metrics(window(40, 0.3, 50), reference, Margin()) == []


def test_a_significant_difference_within_the_margin_is_no_alarm() -> None:
    before = performance.Score(
        metric="accuracy", value=0.90, low=0.899, high=0.901, error=0.0005, n=10**6
    )
    now = before.model_copy(update={"value": 0.87})
    assert performance.degraded_metrics([now], [before], Margin()) == []
    assert performance.degraded_metrics([now], [before], Margin(share=0.02))


def test_labels_of_another_type_do_not_count() -> None:
    pairs: list[Any] = [({"bought": True}, {"bought": each}) for each in ("yes", None, [], 1)]
    [score] = performance.scores(pairs, Target("bought", "flag"))
    assert (score.n, score.value) == (1, 1)
    assert performance.scores([], Target("bought", "flag")) == []


def test_wilson_intervals_agree_with_the_formula() -> None:
    for hits, n in ((0, 30), (29, 30), (30, 30), (500, 1000)):
        share, z = hits / n, 1.959964
        middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        spread = (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
        reach = z / (1 + z * z / n) * spread
        assert performance.wilson_interval(share, n) == pytest.approx(
            (max(0.0, middle - reach), min(1.0, middle + reach)), abs=1e-8
        )
