"""Effects of an e-mail: estimators beside statsmodels, planted effects, and no leakage."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from statsmodels.discrete.discrete_model import Logit
from statsmodels.regression.linear_model import OLS
from statsmodels.sandbox.regression.gmm import IV2SLS
from statsmodels.treatment.treatment_effects import TreatmentEffect
from threadpoolctl import threadpool_limits

from pipelines.ml.email_effect import causes, data, report, train
from pipelines.ml.email_effect.model import CELLS, NORMAL, NUMBERS, Customer, effects, features
from pipelines.ml.email_effect.trial import Estimate, Sample, qini
from slipway.datasets import fetch


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread as `fit` does, since small trees are slower with more."""
    with threadpool_limits(limits=1):
        yield


def confounded(rows: int = 6_000, *, seed: int = 0, effect: float = 1.0) -> Sample:
    """Return a sample in which rows with higher outcomes are treated more often."""
    rng = np.random.default_rng(seed)
    before = rng.normal(size=(rows, 2))
    treated = rng.random(rows) < 1 / (1 + np.exp(0.5 - before[:, 0]))
    outcome = effect * treated + 2 * before[:, 0] + before[:, 1] + rng.normal(size=rows)
    return Sample(before, treated, outcome)


def customer(**changes: object) -> Customer:
    known = {"recency": 1, "history": 100, "mens": True, "womens": False, "newcomer": False}
    return Customer.model_validate({**known, "area": "urban", "channel": "web", **changes})


def planted(rows: int = 6_000, *, seed: int = 0) -> Sample:
    """Return an even assignment with an effect of 0.4 on buyers of women's wares alone."""
    rng = np.random.default_rng(seed)
    kinds = [
        customer(mens=mens, womens=womens or not mens, newcomer=newcomer)
        for mens, womens, newcomer in (rng.random((rows, 3)) < 0.5).tolist()
    ]
    before = features(kinds)["numbers"].astype(float)
    treated = rng.random(rows) < 0.5
    gained = 0.4 * treated * before[:, NUMBERS.index("womens")]
    return Sample(before, treated, (rng.random(rows) < 0.2 + gained).astype(float))


@pytest.mark.parametrize("on_treated", [False, True])
def test_adjusted_effects_equal_the_planted_one_and_the_naive_does_not(on_treated: bool) -> None:
    found = causes.estimates(confounded(), on_treated=on_treated)
    naive = found.pop("difference of means")
    assert naive.value > 2.2
    for name, each in found.items():
        assert each.value == pytest.approx(1.0, abs=4 * each.error), name
        assert each.error < 0.2, name


def test_average_effects_equal_those_of_statsmodels() -> None:
    sample = confounded(2_000)
    columns = causes.design(sample.before)
    logit = Logit(sample.treated, columns)
    theirs = TreatmentEffect(
        OLS(sample.outcome, columns), sample.treated.astype(int), results_select=logit.fit(disp=0)
    )
    found = causes.estimates(sample, on_treated=False)
    for name, effect in (
        ("weighting (IPW)", theirs.ipw(return_results=False)[0]),
        ("regression", theirs.ra(return_results=False)[0]),
        ("both (AIPW)", theirs.aipw(return_results=False)[0]),
    ):
        # Their weights do not sum to 1, which changes the second digit of an error.
        assert found[name].value == pytest.approx(effect, abs=0.4 * found[name].error), name


def test_standard_errors_equal_the_spread_of_repeated_samples() -> None:
    found = [causes.adjusted(confounded(800, seed=seed), on_treated=False) for seed in range(60)]
    spread = np.std([each.value for each in found])
    assert np.mean([each.error for each in found]) == pytest.approx(spread, rel=0.35)


def test_matching_makes_the_arms_alike() -> None:
    sample = confounded()
    _, weights = causes.matches(sample, causes.propensity(sample))
    assert causes.imbalance(sample, np.ones(6_000))[0] > 0.7
    assert causes.imbalance(sample, weights).max() < 0.1


def test_refutations_reveal_a_hidden_cause() -> None:
    sample = confounded()
    past = sample.before[:, 0] + np.random.default_rng(1).normal(size=6_000)
    fair = Sample(np.column_stack([sample.before, past]), sample.treated, sample.outcome)

    def estimator(each: Sample) -> Estimate:
        return causes.adjusted(each, on_treated=False)

    results = causes.refutations(fair, estimator, 2, np.random.default_rng(0))
    for name in ("placebo treatment", "outcome from before"):
        assert abs(results[name].value) < 4 * results[name].error, name
    blind = Sample(fair.before[:, 1:], fair.treated, fair.outcome)
    results = causes.refutations(blind, estimator, 1, np.random.default_rng(0))
    assert abs(results["placebo treatment"].value) < 4 * results["placebo treatment"].error
    assert results["outcome from before"].value > 10 * results["outcome from before"].error


def test_two_stage_least_squares_is_right_where_least_squares_is_not() -> None:
    before = np.random.default_rng(3).normal(size=(8_000, 3))
    naive, found, power = causes.encouraged(before, 0.4, 0.5, np.random.default_rng(0))
    assert naive.ends[0] > 0.7
    assert found.value == pytest.approx(0.5, abs=3 * found.error)
    assert power > 100
    rng = np.random.default_rng(0)
    columns = np.column_stack([rng.normal(size=300), np.ones(300)])
    by = np.column_stack([columns[:, 0] + rng.normal(size=300), np.ones(300)])
    outcome = columns[:, 0] + rng.normal(size=300)
    ours, theirs = causes.two_stage(outcome, columns, by), IV2SLS(outcome, columns, by).fit()
    assert ours.value == pytest.approx(theirs.params[0])
    assert ours.error == pytest.approx(theirs.bse[0], rel=0.2)


def test_two_stage_intervals_contain_the_effect_19_times_of_20() -> None:
    before, rng = np.random.default_rng(3).normal(size=(1_500, 3)), np.random.default_rng(1)
    found = [causes.encouraged(before, 0.3, 0.5, rng)[1] for _ in range(100)]
    assert 88 <= sum(each.ends[0] < 0.5 < each.ends[1] for each in found) <= 99


def test_the_expected_outcome_of_a_customer_does_not_use_the_own_outcome() -> None:
    """Otherwise the scores would have too little noise, and intervals would be too narrow."""
    sample = planted(2_000)
    row = int(np.flatnonzero(~sample.treated)[0])
    changed = sample.outcome.copy()
    changed[row] += 1_000
    before = train.scores(sample, 5, 2)[row]
    after = train.scores(replace(sample, outcome=changed), 5, 2)[row]
    # With an even assignment the deviation from the expected outcome counts twice.
    assert after - before == pytest.approx(-2_000)


@pytest.mark.parametrize("name", ["dr_cells", "dr_linear", "t_learner", "x_learner", "dr_learner"])
def test_learners_find_a_planted_effect(name: str) -> None:
    y_pred = train.train_learner(name, planted(), 40, 2)(planted(seed=1).before)
    buys = planted(seed=1).before[:, NUMBERS.index("womens")] == 1
    assert y_pred[buys].mean() == pytest.approx(0.4, abs=0.08)
    assert y_pred[~buys].mean() == pytest.approx(0.0, abs=0.08)


def test_equal_predictions_have_a_qini_of_zero() -> None:
    assert qini(np.full(500, 0.1), np.random.default_rng(0).normal(size=500)).value == 0
    best = qini(np.arange(500.0), np.arange(500.0) > 249)
    worst = qini(-np.arange(500.0), np.arange(500.0) > 249)
    # Half are worth 1 and half nothing: a triangle of base 1 and height 1/4.
    assert best.value == pytest.approx(1 / 8, rel=0.01)
    assert worst.value == pytest.approx(-best.value)


def test_the_mean_of_all_is_simpler_than_the_means_of_cells() -> None:
    widths = [len(train.PROJECTED[name]) for name in train.SERVED]
    assert widths == sorted(widths)
    assert tuple(name for name in train.PROJECTED if name in train.SERVED) == train.SERVED


def test_intervals_contain_the_effect_19_times_of_20() -> None:
    held, total = 0, 40
    row = features([customer()])["numbers"][0]
    for seed in range(total):
        sample = planted(1_500, seed=seed)
        result = train.means(sample.before, train.scores(sample, 5, 2), CELLS) @ row
        held += abs(result[0]) < NORMAL * result[1]
    assert held >= 34


def test_a_prediction_depends_on_the_customers_own_cell_only() -> None:
    """It is exactly the mean of the cell and its error."""
    sample, rng = planted(600), np.random.default_rng(2)
    score = rng.normal(size=600) * (1 + rng.random(600))
    cell = np.array(["".join(map(str, row)) for row in sample.before[:, 3:6]])
    score += np.unique(cell, return_inverse=True)[1] ** 2
    result = sample.before @ train.means(sample.before, score, CELLS).T
    assert len(set(cell)) == 6
    for each in set(cell):
        rows = cell == each
        assert result[rows, 0] == pytest.approx(score[rows].mean())
        assert result[rows, 1] == pytest.approx(score[rows].std() / np.sqrt(rows.sum()))


def test_a_customer_who_bought_neither_kind_of_wares_is_refused() -> None:
    with pytest.raises(ValidationError, match="one of mens and womens must be true"):
        customer(mens=False)


def test_profit_is_margin_times_dollars_less_cost() -> None:
    outputs = np.zeros((3, 5))
    outputs[:, 3] = (1.0, 0.2, -1.0)  # dollars
    outputs[:, 4] = 0.1  # their error
    found = effects([customer(margin=0.5, cost=0.1)] * 3, outputs)
    assert [each.pays for each in found] == ["yes", "unsure", "no"]
    assert [each.profit for each in found] == pytest.approx([0.4, 0.0, -0.6])
    assert found[0].spend_low == pytest.approx(1 - NORMAL * 0.1)


def test_no_feature_contains_the_treatment_or_an_outcome() -> None:
    """This holds for the records of customers and of workers."""
    table = pd.read_csv(fetch("hillstrom_email").path("hillstrom_email.csv.gz"))
    some = table[table["segment"] != "Mens E-Mail"].head(50)
    other = some.assign(visit=1, spend=9.0, conversion=1, segment="Womens E-Mail")
    before, after = ([record for record, _ in data.customers(each)] for each in (some, other))
    assert before == after
    assert not {"treat", "re78"} & set(data.BEFORE)


def test_the_experiments_effect_equals_the_published_one() -> None:
    """It is 1,794 dollars with a standard error of 671: Dehejia and Wahba (1999)."""
    rows = list(data.workers(0))
    group = np.array([label["group"] for _, label in rows])
    before = np.array([list(record.model_dump().values()) for record, _ in rows])
    every = Sample(before, group == "course", np.array([label["earnings"] for _, label in rows]))
    assert [(group == name).sum() for name in ("course", "drawn", "survey")] == [185, 260, 15_992]
    known = causes.naive(every.at(group != "survey"))
    assert known.value == pytest.approx(1_794, abs=1)
    assert known.error == pytest.approx(671, rel=0.02)
    chosen = every.at(group != "drawn")
    assert causes.naive(chosen).value == pytest.approx(-8_498, abs=1)
    assert abs(causes.adjusted(chosen, on_treated=True).value - known.value) < 2 * 671


def test_pairs_of_cells_are_in_order_if_the_observed_means_rise_with_the_predictions() -> None:
    y_pred = np.repeat([0.1, 0.2, 0.3], 4)
    score = np.repeat([1.0, 3.0, 2.0], 4)
    # Of three pairs, only the second and third cell are reversed.
    assert report.pairs_in_order(y_pred, score) == pytest.approx(2 / 3)
    assert report.pairs_in_order(np.full(12, 0.1), score) == 1.0
