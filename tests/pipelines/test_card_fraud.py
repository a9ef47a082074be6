"""Card fraud: overlap of the generated frauds, no leaked labels, and costs computed by hand."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.metrics import average_precision_score
from threadpoolctl import threadpool_limits

from pipelines.ml.card_fraud import data, metrics, train
from pipelines.ml.card_fraud.model import (
    CHARGEBACK,
    FIELDS,
    REVIEW,
    WRONG_BLOCK,
    CardFraud,
    Payment,
    costs,
    features,
    sigmoid,
)
from slipway.contract.calibration import log_odds
from slipway.contract.graph import OnnxRuntimeGraph
from slipway.datasets import Dataset, fetch
from slipway.training import LabelledRows
from slipway.training.platt import platt
from slipway.training.resampled import average_precision_by_rows
from slipway.training.tabular import export_onnx

SIZES = {"trees": 10, "rounds": 20, "epochs": 1}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Limit boosting to one thread: waiting threads spin, and a fit would take a minute."""
    with threadpool_limits(limits=1):
        yield


@pytest.fixture(scope="module")
def real() -> Dataset:
    return fetch("card_fraud_like")


def generate(real: Dataset, **sizes: int) -> dict[str, LabelledRows]:
    drawn = data.splits(real, **{"seed": 1, "payments": 6000, "frauds": 200, **sizes})
    return {name: LabelledRows(*map(list, zip(*rows, strict=True))) for name, rows in drawn.items()}


@pytest.fixture(scope="module")
def small(real: Dataset) -> dict[str, LabelledRows]:
    return generate(real)


@pytest.fixture(scope="module")
def model(small: dict[str, LabelledRows], tmp_path_factory: pytest.TempPathFactory) -> CardFraud:
    weights = tmp_path_factory.mktemp("weights")
    train.fit(train=small["train"], weights=weights, seed=1, folds=2, real_honest=1000, **SIZES)
    served = CardFraud()
    served.load(weights)
    return served


def numbers_of(rows: LabelledRows) -> tuple[np.ndarray, np.ndarray]:
    return features(rows.records)["numbers"], np.array(rows.labels)


def test_frauds_are_as_rare_as_documented_and_the_days_share_no_payment(real: Dataset) -> None:
    days = generate(real, payments=50_000, frauds=86)
    assert sum(sum(each.labels) for each in days.values()) == 86
    first, second = (
        {tuple(each.__dict__.values()) for each in days[name].records} for name in ("train", "test")
    )
    assert not first & second
    assert len(first) + len(second) == 50_000
    for each in days.values():
        hours = [payment.hour for payment in each.records]
        assert hours == sorted(hours)


def test_frauds_overlap_with_honest_payments(real: Dataset) -> None:
    """Neither a single field nor the generator's own densities separate them."""
    test = generate(real, payments=100_000, frauds=4000)["test"]
    labels = np.array(test.labels)
    best = average_precision_score(labels, data.best_possible(test.records))
    assert best < 0.97
    numbers, _ = numbers_of(test)
    alone = [
        max(average_precision_score(labels, sign * column) for sign in (-1, 1))
        for column in numbers.T
    ]
    assert max(alone) < best - 0.2


def test_no_learner_beats_the_generators_own_densities(small: dict[str, LabelledRows]) -> None:
    numbers, labels = numbers_of(small["train"])
    best = average_precision_score(labels, data.best_possible(small["train"].records))
    learner = train.learners(1, **SIZES)["logistic"]
    assert average_precision_score(labels, train.held_out(learner, numbers, labels, 2, 1)) < best


def test_an_unsupervised_learner_ignores_the_labels(small: dict[str, LabelledRows]) -> None:
    numbers, labels = numbers_of(small["train"])
    turned = np.random.default_rng(0).permutation(labels)
    for name, learner in train.learners(1, **SIZES).items():
        one, other = (
            train.suspicion(train.clone(learner).fit(numbers, each), numbers)
            for each in (labels, turned)
        )
        assert (one == other).all() == (not hasattr(learner, "predict_proba")) or name == "baseline"


def test_a_row_is_scored_by_a_learner_that_never_saw_it(small: dict[str, LabelledRows]) -> None:
    """Random labels cannot be predicted, except by a learner that has seen the rows."""
    numbers, labels = numbers_of(small["train"])
    turned = np.random.default_rng(0).permutation(labels)
    boosting = train.learners(1, **SIZES)["boosting"]
    chance = labels.mean()
    seen = train.suspicion(train.clone(boosting).fit(numbers, turned), numbers)
    assert average_precision_score(turned, seen) > 10 * chance
    assert average_precision_score(turned, train.held_out(boosting, numbers, turned, 3, 1)) < (
        2 * chance
    )


@pytest.mark.parametrize(("kind", "attacks"), [("http", 72), ("smtp", 21)])
def test_real_connections_are_not_repeated(real: Dataset, kind: str, attacks: int) -> None:
    numbers, attack = data.connections(real, kind, honest=30_000, seed=1)
    assert len(np.unique(numbers, axis=0)) == len(numbers)
    assert (attack.sum(), (~attack).sum()) == (attacks, 30_000)


def test_costs_are_counted_by_hand() -> None:
    assert costs(np.array([0.25]), np.array([80.0])).tolist() == [
        [0.25 * (80 + CHARGEBACK), REVIEW, 0.75 * WRONG_BLOCK]
    ]
    frauds, amounts = np.array([True, True, False, False]), np.array([100.0, 50.0, 10.0, 5.0])
    cost = metrics.cost_of_actions(np.array([0, 1, 2, 0]), amounts, frauds)
    assert cost == 1000 * (100 + CHARGEBACK + REVIEW + WRONG_BLOCK + 0) / 4


def test_the_action_depends_on_the_amount() -> None:
    least, most = costs(np.array([0.05, 0.05]), np.array([5.0, 500.0])).argmin(axis=1)
    assert (least, most) == (0, 1)
    assert costs(np.array([0.99]), np.array([5.0])).argmin() == 2


def test_ranking_metrics_are_computed_by_hand() -> None:
    scores = np.linspace(1, 0, 20)
    frauds = np.isin(np.arange(20), [0, 1, 3])
    result = metrics.ranking_metrics(scores, frauds)
    assert result["recall_at_precision_90"] == pytest.approx(2 / 3)
    assert result["average_precision"] == pytest.approx((1 + 1 + 3 / 4) / 3)
    # The budget of 100 in 142,404 is less than one of 20 payments, so one is reviewed.
    assert result["precision_at_budget"] == 1


def test_resampled_average_precision_equals_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    frauds = rng.random(2000) < 0.1
    # Rounded, so that many rows have the same score.
    scores = np.round(frauds + rng.normal(0, 1, 2000), 1)
    rows = rng.integers(0, 2000, 2000)
    found = average_precision_by_rows(frauds, scores)(rows)
    assert found == pytest.approx(average_precision_score(frauds[rows], scores[rows]))
    assert 0.01 < train.precision_error(scores, frauds, 0) < 0.05


def test_supervised_learners_are_ordered_from_the_simplest() -> None:
    names = ["baseline", "logistic", "logistic_balanced", "boosting", "boosting_balanced"]
    assert list(train.learners(1, **SIZES))[:5] == names


def test_suspects_have_correct_reasons(model: CardFraud, small: dict[str, LabelledRows]) -> None:
    verdicts = model.predict(small["test"].records)
    suspects = [
        pair for pair in zip(small["test"].records, verdicts, strict=True) if pair[1].suspect
    ]
    assert len(suspects) > 20
    assert all(not each.reasons for each in verdicts if not each.suspect)
    usual = dict(zip(FIELDS, model._decision["usual"], strict=True))
    for payment, verdict in suspects[:20]:
        strongest = verdict.reasons[0]
        assert [each.log_odds for each in verdict.reasons] == sorted(
            (each.log_odds for each in verdict.reasons), reverse=True
        )
        if strongest.field.startswith("v"):
            (mended,) = model.predict(
                [payment.model_copy(update={strongest.field: usual[strongest.field]})]
            )
            fall = log_odds(np.array([verdict.probability, mended.probability]))
            assert fall[0] - fall[1] == pytest.approx(strongest.log_odds, abs=1e-3)


@pytest.mark.parametrize("name", ["logistic", "logistic_balanced", "boosting", "boosting_balanced"])
def test_every_supervised_candidate_is_served_as_it_was_trained(
    name: str, small: dict[str, LabelledRows], tmp_path: Path
) -> None:
    numbers, labels = numbers_of(small["train"])
    learner = train.learners(1, **SIZES)[name].fit(numbers, labels)
    export_onnx(learner, {"numbers": len(FIELDS)}, tmp_path)
    scores = OnnxRuntimeGraph(tmp_path / "model.onnx").run({"numbers": numbers})["probabilities"]
    assert np.abs(scores - learner.predict_proba(numbers)).max() < 1e-5


def test_probabilities_are_calibrated(small: dict[str, LabelledRows]) -> None:
    numbers, labels = numbers_of(small["train"])
    scores = train.held_out(train.learners(1, **SIZES)["boosting_balanced"], numbers, labels, 3, 1)
    slope, intercept = platt(scores, labels)
    assert sigmoid(scores).mean() > 1.5 * labels.mean()
    assert sigmoid(slope * scores + intercept).mean() == pytest.approx(labels.mean(), rel=0.01)


def test_an_invalid_payment_is_refused() -> None:
    good = {**dict.fromkeys(FIELDS, 0.0), "amount": 10.0, "hour": 23.9}
    assert features([Payment(**good)])["numbers"][0, -1] == pytest.approx(4.1)
    # The extreme values of Kaggle's file.
    Payment(**{**good, "v5": -113.75, "v7": 120.59})
    for field, value in (("hour", 24.0), ("v5", -1001.0)):
        with pytest.raises(ValidationError, match=field):
            Payment(**{**good, field: value})
