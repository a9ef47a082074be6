"""Whose visits the e-mail brings: learners of effects judged on customers drawn by chance.

Doubly robust scores, whose mean over any group is the effect there, teach and judge them.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import rankdata
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.statistics import sample_size
from slipway.training import Candidate, Evaluation, Examples, Fitted, examples, measures, plots
from slipway.training.tabular import export_onnx

from . import causes
from .causes import Estimate, Sample
from .data import Worker
from .model import CELLS, NORMAL, NUMBERS, Customer, Effect, effects, features

Truth = dict[str, Any]
Learner = Callable[[np.ndarray], np.ndarray]
# Least squares on some of the columns.
PROJECTED = {"baseline": ("one",), "dr_cells": CELLS, "dr_linear": NUMBERS}
# Means of groups: their intervals are of the mean effect there, whatever the effects look like.
SERVED = ("baseline", "dr_cells")


def trial(rows: Examples[Customer, Truth], outcome: str) -> Sample:
    return Sample(
        features(rows.records)["numbers"].astype(np.float64),
        np.array([each["mailed"] for each in rows.truths], dtype=bool),
        np.array([each[outcome] for each in rows.truths], dtype=np.float64),
    )


def boosted(columns: np.ndarray, target: np.ndarray, trees: int) -> Learner:
    """Small trees of large leaves: effects of some points drown in smaller groups."""
    model = HistGradientBoostingRegressor(
        max_iter=trees,
        learning_rate=0.05,
        max_leaf_nodes=6,
        min_samples_leaf=200,
        l2_regularization=10.0,
        early_stopping=False,
        random_state=0,
    )
    fitted = model.fit(columns, target)
    return lambda rows: np.asarray(fitted.predict(rows))


def arms(sample: Sample, trees: int) -> list[Learner]:
    """What is expected without and with the e-mail."""
    parts = [sample.at(sample.treated == arm) for arm in (False, True)]
    return [boosted(each.before, each.outcome, trees) for each in parts]


def robust(sample: Sample, means: np.ndarray) -> np.ndarray:
    """Doubly robust scores (rows,) of an even draw, from the outcomes expected (2, rows)."""
    error = sample.outcome - np.where(sample.treated, means[1], means[0])
    return np.asarray(means[1] - means[0] + 2 * np.where(sample.treated, error, -error))


def scores(sample: Sample, trees: int, folds: int) -> np.ndarray:
    """What is expected of a customer is learnt from others alone, or it would know the outcome."""
    means = np.empty((2, len(sample.outcome)))
    for kept, held in KFold(folds, shuffle=True, random_state=0).split(sample.before):
        means[:, held] = [each(sample.before[held]) for each in arms(sample.at(kept), trees)]
    return robust(sample, means)


def means(columns: np.ndarray, score: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """A score's mean and its standard error in each kind of row, as weights of columns (2, 12).

    Kinds are the different values of the columns `names`, which have a number for each.
    """
    places = [NUMBERS.index(name) for name in names]
    kinds, kind = np.unique(columns[:, places], axis=0, return_inverse=True)
    found = [Estimate.mean(score[kind == place]) for place in range(len(kinds))]
    weights = np.zeros((2, len(NUMBERS)))
    weights[:, places] = np.linalg.lstsq(kinds, [[each.value, each.error] for each in found])[0].T
    return weights


def learned(name: str, sample: Sample, trees: int, folds: int) -> Learner:
    rows, sent, came = sample.before, sample.treated, sample.outcome
    if name in ("t_learner", "x_learner"):
        without, mailed = arms(sample, trees)
        if name == "t_learner":
            return lambda more: mailed(more) - without(more)
        # What each would have done else is imputed by the other arm. Künzel et al. (2019).
        gained = boosted(rows[sent], (came - without(rows))[sent], trees)
        missed = boosted(rows[~sent], (mailed(rows) - came)[~sent], trees)
        return lambda more: (gained(more) + missed(more)) / 2
    score = scores(sample, trees, folds)
    if name == "dr_learner":  # Kennedy (2023)
        return boosted(rows, score, trees)
    places = [NUMBERS.index(each) for each in PROJECTED[name]]
    weights = np.linalg.lstsq(rows[:, places], score)[0]
    return lambda more: np.asarray(more[:, places] @ weights)


def qini(told: np.ndarray, score: np.ndarray) -> Estimate:
    """The area between mailing in the order told and at random, in visits a customer.

    A mean of how much earlier than halfway a customer is mailed, times the score; those of the same
    effect at once. Radcliffe (2007), in the form of Yadlowsky et al. (2025).
    """
    early = (rankdata(told) - 0.5) / len(told) - 0.5
    return Estimate.mean(early * (score - score.mean()))


def fit(
    *, train: Examples[Customer, Truth], weights: Path, folds: int, trees: int, seed: int
) -> Fitted:
    """Choose among those that know their interval; the others show what that costs."""
    visits, tried = trial(train, "visited"), []
    # Trees this small are done before a second thread has started.
    with threadpool_limits(limits=1):
        judge, spent = (scores(trial(train, y), trees, folds) for y in ("visited", "spent"))
        for name in (*PROJECTED, "t_learner", "x_learner", "dr_learner"):
            areas = []
            for kept, held in KFold(folds, shuffle=True, random_state=seed).split(visits.before):
                told = learned(name, visits.at(kept), trees, folds)(visits.before[held])
                areas.append({"qini": qini(told, judge[held]).value})
            metrics = measures.over_folds(areas, "qini")
            tried.append(Candidate(name, metrics, {"has_interval": name in SERVED}))
    able = (each for each in tried if each.name in SERVED)
    chosen = max(able, key=lambda each: each.metrics["qini"]).name
    unmailed = visits.at(~visits.treated)
    without = np.linalg.lstsq(unmailed.before, unmailed.outcome)[0]
    parts = [means(visits.before, each, PROJECTED[chosen]) for each in (judge, spent)]
    served = LinearRegression()
    served.coef_, served.intercept_ = np.concatenate([without[None], *parts]), np.zeros(5)
    served.n_features_in_ = len(NUMBERS)
    export_onnx(served, {"numbers": len(NUMBERS)}, weights)

    def native(customers: list[Customer]) -> list[Effect]:
        rows = features(customers)["numbers"].astype(np.float64)
        return effects(customers, served.predict(rows))

    return Fitted(tried, chosen, native)


def judged(answers: list[Effect], truths: list[Truth]) -> tuple[np.ndarray, np.ndarray]:
    """The effects told and the doubly robust scores (rows,), on visits."""
    told = np.array([each.visit_effect for each in answers])
    without = np.array([each.visit_without for each in answers])
    # Of the rows only who was mailed and who came: what was known before is not judged by.
    return told, robust(trial(Examples([], truths), "visited"), np.stack([without, without + told]))


def score(*, answers: list[Effect], truths: list[Truth]) -> dict[str, float]:
    """On customers drawn by chance: is the order right, and are the effects as large as told?"""
    told, score = judged(answers, truths)
    area, mean, upper = qini(told, score), Estimate.mean(score), told >= np.median(told)
    rate = float(np.mean([each["visited"] for each in truths if not each["mailed"]]))
    return {
        "qini": area.value,
        "qini_low": area.ends[0],
        "qini_high": area.ends[1],
        "effect": mean.value,
        "effect_low": mean.ends[0],
        "effect_high": mean.ends[1],
        "effect_told": float(told.mean()),
        "e_value": causes.e_value(1 + mean.value / rate),
        "e_value_low": causes.e_value(1 + max(mean.ends[0], 0.0) / rate),
        "effect_upper_half": float(score[upper].mean()),
        "effect_lower_half": float(score[~upper].mean()) if not upper.all() else mean.value,
        "unsure_of_profit": float(np.mean([each.pays == "unsure" for each in answers])),
    }


def workers(weights: Path) -> tuple[Sample, Sample]:
    """The experiment, and the same treated beside men of a survey."""
    # The stages hand over customers alone; the workers were written beside them.
    rows = examples.read(weights.parent / "data" / "workers.parquet", Worker)
    before = np.array([list(each.model_dump().values()) for each in rows.records])
    group = np.array([each["group"] for each in rows.truths])
    every = Sample(before, group == "course", np.array([each["earnings"] for each in rows.truths]))
    return every.at(group != "survey"), every.at(group != "drawn")


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    visits, spend = (trial(evaluation.train, each) for each in ("visited", "spent"))
    mailing = Sample(visits.before[:, 1:], visits.treated, 100 * visits.outcome)
    drawn, chosen = workers(evaluation.weights)
    known = causes.naive(drawn)

    figure, axes = plots.panels(3, height=4.6)
    intervals(axes[0], causes.estimates(mailing, on_treated=False), "E-mail: drawn by chance")
    axes[0].set_xlabel("visits brought, points (95 %)")
    found = causes.estimates(chosen, on_treated=True)
    intervals(axes[1], found, "Course: trained men against a survey's", form="{:,.0f}")
    axes[1].axvspan(*known.ends, color=plots.PALE, alpha=0.35)
    axes[1].set_xlabel(f"dollars a year (95 %); shaded: the experiment, {known.value:,.0f}")
    intervals(axes[2], groups(evaluation), "E-mail, test rows by cell")
    axes[2].set_xlabel("visits brought, points (95 %)")
    yield "effects", figure

    figure, axes = plots.panels(3)
    rng, income = np.random.default_rng(0), list(Worker.model_fields).index("earnings_1975")
    for panel, name, sample, on_treated, past in (
        (axes[0], "E-mail", mailing, False, 1),
        (axes[1], "Course", chosen, True, income),
    ):
        estimator = partial(causes.adjusted, on_treated=on_treated)
        found = causes.refutations(sample, estimator, past, rng)
        # Outcomes of different units, so in standard errors.
        found = {kind: Estimate(each.value / each.error, 1.0) for kind, each in found.items()}
        intervals(panel, found, f"{name}: attempts to refute")
        panel.set_xlabel("estimate, in its standard errors")
    balance(axes[2], chosen)
    yield "refutations", figure

    figure, (left, right) = plots.panels(2)
    found, effect, some = {}, 0.5, mailing.before[:4000]
    for strength in (0.4, 0.1, 0.02):
        # One simulation misses 1 time of 20: shown are medians of 60.
        made = [causes.encouraged(some, strength, effect, rng) for _ in range(60)]
        naive, by_chance, power = zip(*made, strict=True)
        held = 100 * np.mean([each.ends[0] < effect < each.ends[1] for each in by_chance])
        for name, every in (
            (f"{100 * strength:.0f} points: least squares", naive),
            (f"two-stage, F {np.mean(power):.0f}, holds {held:.0f} %", by_chance),
        ):
            told = np.median([[each.value, each.error] for each in every], axis=0)
            found[name] = Estimate(*told.tolist())
    intervals(left, found, "Encouraged to open (simulated)")
    left.axvline(effect, color=plots.INK, linestyle=":")
    left.set_xlabel("effect of opening, medians of 60; dotted: planted")
    sizes(right, visits, spend)
    yield "instrument_and_design", figure


def intervals(axes: Axes, found: dict[str, Estimate], title: str, form: str = "{:.2f}") -> None:
    """From the top down, the first one dark."""
    points = {name: (each.value, *each.ends) for name, each in found.items()}
    plots.intervals(axes, points, title, form=form, colours=(plots.INK, plots.ACCENT))


def groups(evaluation: Evaluation) -> dict[str, Estimate]:
    """Effects seen in the six cells of test customers, each followed by what was told there: in
    points."""
    told, score = (100 * each for each in judged(evaluation.answers, evaluation.test.truths))
    reach = 100 * np.array([each.visit_high - each.visit_effect for each in evaluation.answers])
    cells = [(each.mens, each.womens, each.newcomer) for each in evaluation.test.records]
    wares, found = {(True, False): "men's", (False, True): "women's", (True, True): "both"}, {}
    for mens, womens, new in sorted(set(cells)):
        rows = np.array([each == (mens, womens, new) for each in cells])
        name = f"{wares[mens, womens]}, {'newcomer' if new else 'older'}"
        found[f"{name}: seen"] = Estimate.mean(score[rows])
        found[f"{name}: told"] = Estimate(float(told[rows][0]), float(reach[rows][0]) / NORMAL)
    return found


def balance(axes: Axes, chosen: Sample) -> None:
    """The trained against the survey: as they are, weighted and matched."""
    share = causes.propensity(chosen)
    for name, weights, colour in (
        ("as they are", np.ones(len(share)), plots.PALE),
        ("weighted", np.where(chosen.treated, 1.0, share / (1 - share)), plots.INK),
        ("matched", causes.matches(chosen, share)[1], plots.ACCENT),
    ):
        apart = causes.imbalance(chosen, weights)
        axes.plot(apart, range(len(apart)), "o", color=colour, label=name)
    axes.axvline(0.1, color=plots.INK, linestyle=":", linewidth=0.8)
    axes.set_yticks(range(len(Worker.model_fields)), list(Worker.model_fields))
    axes.invert_yaxis()
    axes.set_xlabel("standard deviations apart; below 0.1 is held fair")
    axes.set_title("Balance: trained men and a survey's")
    axes.legend()


def sizes(axes: Axes, visits: Sample, spend: Sample) -> None:
    """Customers an arm that an experiment needs."""
    parts, variances = np.geomspace(0.1, 1, 40), 2 * float(spend.outcome.var())
    rate, mean = (max(float(each.outcome[~each.treated].mean()), 0.01) for each in (visits, spend))
    by = {"power": 0.8, "alpha": 0.05}
    needed = {
        "visits": [sample_size.two_proportions(rate, part * rate, **by) for part in parts],
        "dollars": [sample_size.two_means(variances, part * mean, **by) for part in parts],
    }
    for (name, counts), colour in zip(needed.items(), (plots.ACCENT, plots.INK), strict=True):
        whole = np.array(counts, dtype=float)
        axes.plot(100 * parts, whole, color=colour, label=name)
        # That an effect differs between two halves takes four times as many.
        axes.plot(100 * parts, 4 * whole, ":", color=colour)
    axes.axhline(float(visits.treated.sum()), color=plots.PALE, linewidth=3, label="trained on")
    axes.set(xscale="log", yscale="log", ylabel="customers an arm")
    axes.set_xticks([10, 20, 50, 100], ["10", "20", "50", "100"])
    axes.set_xlabel("effect, % of the mean; dotted: between halves")
    axes.set_title("Needed to see it 4 times of 5")
    axes.legend()
