"""Test metrics of the served effects, and pictures of causal checks."""

from collections.abc import Iterator
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.reporting import Evaluation, plots
from slipway.statistics import sample_size
from slipway.training import LabelledRows, labelled_rows

from . import causes
from .data import Worker
from .model import NORMAL, Effect
from .trial import Estimate, Label, Sample, qini, robust, trial_sample


def predicted_and_scores(
    predictions: list[Effect], labels: list[Label]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the predicted effects on visits and the doubly robust scores (rows,)."""
    y_pred = np.array([each.visit_effect for each in predictions])
    without = np.array([each.visit_without for each in predictions])
    # Only the labels are needed, who was mailed and who visited, so there are no records.
    customers = trial_sample(LabelledRows([], labels), "visited")
    return y_pred, robust(customers, np.stack([without, without + y_pred]))


def score(*, predictions: list[Effect], labels: list[Label]) -> dict[str, float]:
    """Return metrics of the order and of the size of the predicted effects."""
    y_pred, score = predicted_and_scores(predictions, labels)
    area, mean, upper = qini(y_pred, score), Estimate.mean(score), y_pred >= np.median(y_pred)
    # The baseline predicts the same effect for everybody.
    same = qini(np.zeros_like(y_pred), score)
    rate = float(np.mean([each["visited"] for each in labels if not each["mailed"]]))
    return {
        # Over customers, by the standard error of a mean: the area is a mean over customers.
        "qini": area.value,
        "qini_low": area.ends[0],
        "qini_high": area.ends[1],
        "baseline_qini": same.value,
        "pairs_in_order": pairs_in_order(y_pred, score),
        "effect": mean.value,
        "effect_low": mean.ends[0],
        "effect_high": mean.ends[1],
        "effect_predicted": float(y_pred.mean()),
        "e_value": causes.e_value(1 + mean.value / rate),
        "e_value_low": causes.e_value(1 + max(mean.ends[0], 0.0) / rate),
        "effect_upper_half": float(score[upper].mean()),
        "effect_lower_half": float(score[~upper].mean()) if not upper.all() else mean.value,
        "unsure_of_profit": float(np.mean([each.pays == "unsure" for each in predictions])),
    }


def pairs_in_order(y_pred: np.ndarray, score: np.ndarray) -> float:
    """Return the share of pairs of cells of which the one with the larger predicted effect has it.

    Customers of a cell have the same prediction. It is 1 if all have the same.
    """
    observed = [float(score[y_pred == each].mean()) for each in np.unique(y_pred)]
    pairs = [low < high for low, high in combinations(observed, 2)]
    return float(np.mean(pairs)) if pairs else 1.0


def workers(weights: Path) -> tuple[Sample, Sample]:
    """Return the experiment, and its treated men with the men of the survey."""
    # The stage passes only customers; `prepare` wrote the workers to the same folder.
    rows = labelled_rows.read(weights.parent / "data" / "workers.parquet", Worker)
    before = np.array([list(each.model_dump().values()) for each in rows.records])
    group = np.array([each["group"] for each in rows.labels])
    every = Sample(before, group == "course", np.array([each["earnings"] for each in rows.labels]))
    return every.at(group != "survey"), every.at(group != "drawn")


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    visits, spend = (trial_sample(evaluation.train, each) for each in ("visited", "spent"))
    mailing = Sample(visits.before[:, 1:], visits.treated, 100 * visits.outcome)
    drawn, chosen = workers(evaluation.weights)
    known = causes.naive(drawn)

    figure, axes = plots.panels(3, height=4.6)
    intervals(axes[0], causes.estimates(mailing, on_treated=False), "E-mail: drawn by chance")
    axes[0].set_xlabel("visits brought, points (95 %)")
    found = causes.estimates(chosen, on_treated=True)
    intervals(axes[1], found, "Course: men of a survey as controls", form="{:,.0f}")
    axes[1].axvspan(*known.ends, color=plots.PALE, alpha=0.35)
    axes[1].set_xlabel(f"dollars a year (95 %); shaded: the experiment, {known.value:,.0f}")
    axes[1].locator_params(axis="x", nbins=4)
    by_cell(axes[2], evaluation)
    yield "effects", figure

    figure, axes = plots.panels(3)
    rng, income = np.random.default_rng(0), list(Worker.model_fields).index("earnings_1975")
    for panel, name, sample, on_treated, past in (
        (axes[0], "E-mail", mailing, False, 1),
        (axes[1], "Course", chosen, True, income),
    ):
        estimator = partial(causes.adjusted, on_treated=on_treated)
        found = causes.refutations(sample, estimator, past, rng)
        # In standard errors, since the outcomes have different units.
        found = {kind: Estimate(each.value / each.error, 1.0) for kind, each in found.items()}
        intervals(panel, found, f"{name}: attempts to refute")
        panel.set_xlabel("estimate, in its standard errors")
    balance(axes[2], chosen)
    yield "refutations", figure

    figure, (left, right) = plots.panels(2)
    found, effect, some = {}, 0.5, mailing.before[:4000]
    for strength in (0.4, 0.1, 0.02):
        # One interval in 20 misses the effect, so medians of 60 simulations are drawn.
        simulated = [causes.encouraged(some, strength, effect, rng) for _ in range(60)]
        naive, by_chance, power = zip(*simulated, strict=True)
        held = 100 * np.mean([each.ends[0] < effect < each.ends[1] for each in by_chance])
        for name, every in (
            (f"{100 * strength:.0f} points, least squares", naive),
            (f"two-stage (F {np.mean(power):.0f}, holds {held:.0f} %)", by_chance),
        ):
            medians = np.median([[each.value, each.error] for each in every], axis=0)
            # The value is in the name, since the points are too near each other to write on.
            found[f"{name}: {medians[0]:.2f}"] = Estimate(*medians.tolist())
    points = {name: (each.value, *each.ends) for name, each in found.items()}
    pair = (plots.INK, plots.ACCENT)
    plots.intervals(left, points, "Encouraged to open (simulated)", colours=pair * 3)
    left.axvline(effect, color=plots.INK, linestyle=":")
    left.set_xlabel("effect of opening, medians of 60; dotted: planted")
    sizes(right, visits, spend)
    yield "instrument_and_design", figure


def intervals(axes: Axes, found: dict[str, Estimate], title: str, form: str = "{:.2f}") -> None:
    """Draw estimates with their intervals, from the top down, the first one dark."""
    points = {name: (each.value, *each.ends) for name, each in found.items()}
    plots.intervals(axes, points, title, fmt=form, colours=(plots.INK, plots.ACCENT))


def by_cell(axes: Axes, evaluation: Evaluation) -> None:
    """Draw the observed and the predicted effect in each of the six cells, in points."""
    y_pred, score = (
        100 * each for each in predicted_and_scores(evaluation.predictions, evaluation.test.labels)
    )
    reach = 100 * np.array([each.visit_high - each.visit_effect for each in evaluation.predictions])
    cells = [(each.mens, each.womens, each.newcomer) for each in evaluation.test.records]
    wares, names = {(True, False): "men's", (False, True): "women's", (True, True): "both"}, []
    for place, (mens, womens, new) in enumerate(sorted(set(cells))):
        rows = np.array([each == (mens, womens, new) for each in cells])
        names.append(f"{wares[mens, womens]}, {'newcomer' if new else 'older'}")
        known = Estimate(float(y_pred[rows][0]), float(reach[rows][0]) / NORMAL)
        for estimate, above, colour, label in (
            (Estimate.mean(score[rows]), -0.16, plots.INK, "observed, test rows"),
            (known, 0.16, plots.ACCENT, "predicted"),
        ):
            axes.errorbar(
                [estimate.value], [place + above], xerr=[NORMAL * estimate.error], fmt="o",
                capsize=3, color=colour, label=None if place else label,
            )  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.axvline(0, color=plots.INK, linewidth=0.6)
    axes.set_xlabel("visits brought, points (95 %)")
    axes.set_title("E-mail: effect by cell")
    # Between the intervals of buyers of men's wares and the right edge there is room.
    axes.legend(loc="center right", fontsize=8)


def balance(axes: Axes, chosen: Sample) -> None:
    """Draw the distance of trained men and the survey's, unadjusted, weighted and matched."""
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
    """Draw the number of customers per arm that an experiment needs."""
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
        # Detecting a difference between two halves takes four times as many.
        axes.plot(100 * parts, 4 * whole, ":", color=colour)
    axes.axhline(float(visits.treated.sum()), color=plots.PALE, linewidth=3, label="trained on")
    axes.set(xscale="log", yscale="log", ylabel="customers an arm")
    axes.set_xticks([10, 20, 50, 100], ["10", "20", "50", "100"])
    axes.set_xlabel("effect, % of the mean; dotted: between halves")
    axes.set_title("Needed to see it 4 times of 5")
    axes.legend()
