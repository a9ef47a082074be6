"""Uplift: the Qini curve against brute force, and learners on planted effects."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from threadpoolctl import threadpool_limits

from pipelines.ml.uplift import data, learners, report
from pipelines.ml.uplift.drawn import EMAILS, MENS, NONE, WOMENS, RandomizedCustomers
from pipelines.ml.uplift.effects import fit_effect_line
from pipelines.ml.uplift.model import (
    EFFECTS,
    NUMBERS,
    Campaign,
    EffectLine,
    Effects,
    Shopper,
    Uplift,
    campaigns,
    features,
)
from pipelines.ml.uplift.ranked import Ranked, ranked, ranking_metrics, uplifts
from slipway.datasets import fetch

LEARNERS = learners.learners(seed=0, trees=60)
# Passes the predicted uplift on, with an interval of almost no width.
UNCHANGED = EffectLine(0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


def customers_with_effect(rows: int, *, seed: int = 0) -> RandomizedCustomers:
    """Return customers on whom each e-mail has an effect of 20 points if they bought its wares.

    A tenth bought both kinds, the others one, as in the data.
    """
    rng = np.random.default_rng(seed)
    shoppers = [
        Shopper(
            recency=int(rng.integers(1, 13)),
            history=1 + float(rng.gamma(1, 200)),
            mens=kind < 0.55,
            womens=kind > 0.45,
            area="urban",
            newcomer=bool(rng.random() < 0.5),
            channel=str(rng.choice(["web", "phone"])),
        )
        for kind in rng.random(rows).tolist()
    ]
    numbers = features(shoppers)["numbers"]
    email = rng.integers(0, 3, rows)
    mens, womens = (numbers[:, NUMBERS.index(name)] for name in ("mens", "womens"))
    base = 0.3 - 0.02 * numbers[:, 0]
    effect = 0.2 * ((email == MENS) * mens + (email == WOMENS) * womens)
    return RandomizedCustomers(numbers, email, rng.random(rows) < base + effect)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread as `fit` does: small trees are slower with more."""
    with threadpool_limits(limits=1):
        yield


@pytest.fixture(scope="module")
def planted() -> RandomizedCustomers:
    return customers_with_effect(9_000)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.read_csv(fetch("hillstrom_email").path("hillstrom_email.csv.gz"))


def brute_force_curve(
    uplift: np.ndarray, customers: RandomizedCustomers, email: int, counts: np.ndarray
) -> list[tuple[float, float]]:
    """Return the curve by counting again for every threshold."""
    in_arms = (customers.email == email) | (customers.email == NONE)
    mailed, points = customers.email == email, [(0.0, 0.0)]
    for threshold in sorted(set(uplift[in_arms]), reverse=True):
        top = in_arms & (uplift >= threshold)
        n_mailed, n_others = counts[top & mailed].sum(), counts[top & ~mailed].sum()
        visits = counts[top & mailed & customers.visited].sum()
        visits_without = counts[top & ~mailed & customers.visited].sum()
        scaled = visits_without * n_mailed / n_others if n_others else 0.0
        gained = (visits - scaled) / max(counts[in_arms & mailed].sum(), 1)
        points.append((counts[top].sum() / counts[in_arms].sum(), gained))
    return points


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(6, 60), levels=st.integers(1, 60))
def test_the_qini_curve_matches_brute_force(seed: int, rows: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    email = np.concatenate([[0, 1, 2], rng.integers(0, 3, rows - 3)])
    customers = RandomizedCustomers(np.empty((rows, 0)), email, rng.random(rows) < 0.5)
    uplift, counts = rng.integers(0, levels, rows) / 10, rng.integers(1, 4, rows).astype(float)
    for arm in (MENS, WOMENS):
        shares, gained = Ranked.from_uplift(uplift, customers, arm).curve(counts)
        expected = brute_force_curve(uplift, customers, arm, counts)
        assert shares.tolist() == pytest.approx([share for share, _ in expected])
        assert gained.tolist() == pytest.approx([gain for _, gain in expected])


def test_equal_uplifts_have_a_qini_of_zero(planted: RandomizedCustomers) -> None:
    assert Ranked.from_uplift(np.full(9_000, 0.07), planted, MENS).qini() == pytest.approx(
        0, abs=1e-12
    )


def test_the_true_order_beats_chance_and_the_reverse_loses_as_much(
    planted: RandomizedCustomers,
) -> None:
    mens = planted.numbers[:, NUMBERS.index("mens")].astype(float)
    best, worst = (Ranked.from_uplift(sign * mens, planted, MENS).qini() for sign in (1, -1))
    # About half have an effect of 0.2 and the others none: a triangle of 0.2 / 2 / 4.
    assert best == pytest.approx(0.025, abs=0.006)
    assert worst == pytest.approx(-best, abs=0.004)
    chance = np.random.default_rng(5).random(9_000)
    assert abs(Ranked.from_uplift(chance, planted, MENS).qini()) < 0.008


@pytest.mark.parametrize(
    "name", [name for name in LEARNERS if name not in ("baseline", "response")]
)
def test_learners_find_a_planted_effect(name: str, planted: RandomizedCustomers) -> None:
    fit_learner, estimators = LEARNERS[name]
    held = customers_with_effect(12_000, seed=1)
    effects = uplifts(fit_learner(planted, estimators).visits(held.numbers))
    metrics = ranking_metrics(*ranked(effects, held))
    # The true order has 0.025.
    assert metrics["qini_mens"] > 0.015
    assert metrics["qini_womens"] > 0.015
    bought = held.numbers[:, NUMBERS.index("womens")] == 1
    # The true difference is 0.2; learners with few trees, or trees shared by the arms, find less.
    assert 0.1 < effects[bought, 1].mean() - effects[~bought, 1].mean() < 0.25
    assert effects[:, 1].mean() == pytest.approx(0.1, abs=0.05)


def test_likely_visitors_are_not_the_customers_to_mail(planted: RandomizedCustomers) -> None:
    """The response model finds likely visitors, not those whom the e-mail affects."""
    held = customers_with_effect(6_000, seed=1)
    scores = {}
    for name in ("response", "t_learner"):
        fit_learner, estimators = LEARNERS[name]
        effects = uplifts(fit_learner(planted, estimators).visits(held.numbers))
        scores[name] = ranking_metrics(*ranked(effects, held))["qini"]
    assert scores["response"] < 0.7 * scores["t_learner"]


@pytest.mark.parametrize("name", list(LEARNERS))
def test_the_exported_graph_predicts_as_the_fitted_learner(
    name: str, planted: RandomizedCustomers, tmp_path: Path
) -> None:
    fit_learner, estimators = LEARNERS[name]
    learner = fit_learner(planted, estimators)
    learners.export(learner, tmp_path / "model.onnx")
    lines = {name: asdict(UNCHANGED) for name in ("mens", "womens")}
    (tmp_path / EFFECTS).write_text(json.dumps({**lines, "least": 0.02}))
    model = Uplift()
    model.load(tmp_path)
    visits = model.run({"numbers": planted.numbers[:500]})["visits"]
    assert visits == pytest.approx(learner.visits(planted.numbers[:500]), abs=2e-6)
    assert visits.shape == (500, 3)


def test_the_better_email_is_recommended_if_its_effect_is_large_enough() -> None:
    visits = np.array([[0.1, 0.15, 0.12], [0.1, 0.11, 0.18], [0.1, 0.115, 0.05], [0.4, 0.3, 0.2]])
    predictions = campaigns(visits, Effects(UNCHANGED, UNCHANGED, 0.02))
    assert [each.recommendation for each in predictions] == ["mens", "womens", "none", "none"]
    assert [each.uplift for each in predictions] == pytest.approx([0.05, 0.08, 0.015, -0.1])


def test_no_email_is_recommended_without_evidence() -> None:
    """The interval of the larger effect reaches below the least one: the surer e-mail is sent."""
    visits = np.array([[0.1, 0.15, 0.14], [0.1, 0.15, 0.1]])
    unsure = replace(UNCHANGED, mean_variance=0.02**2)
    predictions = campaigns(visits, Effects(unsure, UNCHANGED, 0.02))
    assert [each.recommendation for each in predictions] == ["womens", "none"]
    first = predictions[0]
    assert (first.uplift_mens_low, first.uplift_mens_high) == pytest.approx((0.0108, 0.0892))


def test_exaggerated_uplifts_are_brought_to_what_was_seen() -> None:
    """The planted effect is 0.2 for half of the customers; a learner says 0.5 more for them."""
    customers = customers_with_effect(20_000, seed=3)
    bought = customers.numbers[:, NUMBERS.index("mens")].astype(float)
    visits = np.stack([np.full(20_000, 0.2), 0.2 + 0.5 * bought, np.full(20_000, 0.3)], axis=1)
    line = fit_effect_line(visits, customers, MENS)
    effect, low, high = line.interval(np.array([0.5, 0.0]))
    assert line.slope == pytest.approx(0.4, abs=0.08)
    assert (low < [0.2, 0.0]).all()
    assert (high > [0.2, 0.0]).all()
    assert (high - low < 0.07).all()
    assert effect == pytest.approx([0.2, 0.0], abs=0.03)


def test_uplifts_without_evidence_become_the_mean_effect() -> None:
    customers = customers_with_effect(6_000, seed=3)
    chance = np.random.default_rng(0).random(6_000)
    visits = np.stack([np.full(6_000, 0.2), 0.2 + 0.1 * chance, np.full(6_000, 0.3)], axis=1)
    line = fit_effect_line(visits, customers, MENS)
    effect, low, high = line.interval(np.array([0.0, 0.1]))
    assert effect[0] == effect[1]
    # 55 in 100 have an effect of 0.2.
    assert (low < 0.11).all()
    assert (high > 0.11).all()


def test_the_value_of_a_policy_is_the_visits_of_those_who_follow_it() -> None:
    email = np.array([MENS, MENS, NONE, WOMENS, NONE, MENS])
    visited = np.array([True, False, True, True, False, True])
    policy = np.array([MENS, NONE, NONE, WOMENS, MENS, MENS])
    follows = email == policy
    assert report.mean_visits(follows, visited, np.ones(6)) == 1.0
    assert report.mean_visits(follows, visited, np.array([1, 9, 0, 1, 9, 2.0])) == 1.0
    assert report.mean_visits(email == MENS, visited, np.array([1, 2, 0, 0, 0, 1])) == 0.5


def test_the_learnt_policy_gains_the_planted_effect(planted: RandomizedCustomers) -> None:
    fit_learner, estimators = LEARNERS["t_learner"]
    held = customers_with_effect(9_000, seed=2)
    predictions = campaigns(
        fit_learner(planted, estimators).visits(held.numbers), Effects(UNCHANGED, UNCHANGED, 0.02)
    )
    policy = np.array([EMAILS.index(each.recommendation) for each in predictions])
    ones = np.ones(len(policy))
    by_policy = report.mean_visits(held.email == policy, held.visited, ones)
    unmailed = report.mean_visits(held.email == NONE, held.visited, ones)
    assert by_policy - unmailed == pytest.approx(0.2, abs=0.03)


def test_the_bootstrap_covers_a_mean() -> None:
    values = np.random.default_rng(3).normal(2, 1, 400)
    low, high = report.bootstrapped(lambda counts: float(counts @ values) / 400, 400, resamples=400)
    error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.4 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.4 * error)


def equal_predictions(recommended: str, rows: int) -> list[Campaign]:
    names = [name for name in Campaign.model_fields if name != "recommendation"]
    return [Campaign(**dict.fromkeys(names, 0.1), recommendation=recommended)] * rows


def test_policy_gain_is_relative_to_mens_email_for_all() -> None:
    """The comparison is paired: for men's e-mail to all, gain and interval are exactly 0."""
    rng = np.random.default_rng(4)
    emails, visited = rng.choice(EMAILS, 900), rng.random(900) < 0.2
    visited |= emails == "womens"
    labels = [{"email": str(e), "visited": bool(c)} for e, c in zip(emails, visited, strict=True)]
    same = report.score(predictions=equal_predictions("mens", 900), labels=labels)
    assert same["policy_gain"] == same["policy_gain_low"] == same["policy_gain_high"] == 0
    better = report.score(predictions=equal_predictions("womens", 900), labels=labels)
    assert better["policy_gain"] == pytest.approx(1 - visited[emails == "mens"].mean())
    assert 0.7 < better["policy_gain_low"] < better["policy_gain"] < better["policy_gain_high"]
    assert better["baseline_qini"] == pytest.approx(0, abs=1e-12)
    # Women's e-mail makes everybody visit, far from the 10 points that are served.
    assert better["tenths_contradicted"] >= 10


def test_a_customer_who_bought_neither_kind_is_refused() -> None:
    with pytest.raises(ValidationError, match="one of mens and womens must be true"):
        Shopper(
            recency=1, history=50, mens=False, womens=False, area="rural", newcomer=True,
            channel="web",
        )  # fmt: skip


def test_features_do_not_depend_on_the_randomization_or_outcomes(table: pd.DataFrame) -> None:
    """Records contain neither the e-mail nor the outcomes."""
    some = table.head(50)
    other = some.assign(visit=1, spend=9.0, conversion=1, segment="Womens E-Mail")
    before, after = ([record for record, _ in data.shoppers(each)] for each in (some, other))
    assert before == after


def test_no_customer_is_in_both_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "shoppers", lambda frame: frame.index)
    sides = data.splits(fetch("hillstrom_email"), seed=1, test_share=0.3)
    assert not set(sides["train"]) & set(sides["test"])
    assert len({*sides["train"], *sides["test"]}) == 64_000


def test_the_real_randomization_is_balanced(table: pd.DataFrame) -> None:
    data.check_balance(data.SCHEMA.validate(table))
    assert max(abs(apart) for *_, apart in data.differences(table)) < data.MOST_APART


def test_a_biased_randomization_is_refused(table: pd.DataFrame) -> None:
    tilted = table[
        (table["segment"] != "Mens E-Mail") | (table["newbie"] == 1) | (table.index % 9 > 0)
    ]
    with pytest.raises(ValueError, match=r"newbie differs by .* Mens E-Mail|arms of"):
        data.check_balance(tilted)
    favoured = table.copy()
    rows = favoured.index[favoured["segment"] == "Womens E-Mail"]
    favoured.loc[rows[: len(rows) // 5], "recency"] = 1
    with pytest.raises(ValueError, match=r"recency differs by -0\.\d+ standard deviations"):
        data.check_balance(favoured)


def test_arms_of_unlikely_sizes_are_refused(table: pd.DataFrame) -> None:
    fewer = table.drop(table.index[table["segment"] == "No E-Mail"][:900])
    with pytest.raises(ValueError, match="not evenly randomized"):
        data.check_balance(fewer)


def test_candidates_go_from_the_simplest() -> None:
    """Linear parts before trees, and fewer parts before more."""
    parts, few = [], customers_with_effect(600)
    for name, (fit_learner, estimators) in LEARNERS.items():
        if name != "baseline":
            parts.append((not name.endswith("_linear"), len(fit_learner(few, estimators).parts)))
    assert parts == sorted(parts)
