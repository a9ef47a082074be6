"""Manual tuning, random search, Optuna and FLAML under one budget; the best pipeline is served.

Rows are parted in two: searches see the first part alone, in folds. What each found is fitted on
that part and compared on the second, which no search has seen; the winner is fitted on both.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline

from slipway.training import Candidate, Evaluation, Examples, Fitted, plots
from slipway.training.tabular import export_boosting, export_onnx

from .budget import Budget, Found, run
from .model import NUMBERS, Cardholder, Outlook, features, outlooks
from .searches import Rows, flaml, manual, optimise, quiet
from .space import LEARNERS, Settings, pipeline

PLAIN: Settings = {"columns": "as_given", "percent_kept": 100}
# Compared with: nobody searched for these.
UNTUNED: dict[str, Settings] = {
    "baseline": {"learner": "baseline", **PLAIN},
    "logistic_as_it_comes": {"learner": "logistic", **PLAIN},
    "lightgbm_as_it_comes": {"learner": "lightgbm", **PLAIN},
}
GROUPS = ("delay", "bill", "paid", "use", "share_paid", "other")
COLOURS = (plots.INK, plots.PALE, "#d1793b", plots.ACCENT, "#7a5195")
SIDE_BY_SIDE = 2
DRAWS = 200


def group(name: str) -> str:
    """Of a column: which of `GROUPS` it tells of."""
    if name in ("months_behind", "worst_delay", "mean_delay"):
        return "delay"
    stem = name.rpartition("_")[0]
    return {"use_grew": "use", "paid_of_limit": "paid"}.get(
        name, stem if stem in GROUPS else "other"
    )


def searched(
    names: list[str],
    budget: Budget,
    rows: Rows,
    *,
    seed: int,
    trees: int,
    by_hand: list[Settings],
) -> dict[str, Found]:
    """Each search by its name, two at a time."""
    same: dict[str, Any] = {"rows": rows, "seed": seed}
    optuna = {**same, "trees": trees}
    calls: dict[str, tuple[Any, dict[str, Any]]] = {
        "manual": (manual, {**same, "settings": by_hand}),
        "random_search": (optimise, {**optuna, "sampler": "random", "prune": False}),
        "optuna_tpe": (optimise, {**optuna, "sampler": "tpe", "prune": False}),
        "optuna_tpe_pruned": (optimise, {**optuna, "sampler": "tpe", "prune": True}),
        "flaml": (flaml, same),
    }
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        started = {
            name: pool.submit(run, calls[name][0], budget, **calls[name][1]) for name in names
        }
        return {name: each.result() for name, each in started.items()}


def figures(told: np.ndarray, defaulted: np.ndarray) -> dict[str, float]:
    return {
        "roc_auc": float(roc_auc_score(defaulted, told)),
        "average_precision": float(average_precision_score(defaulted, told)),
        "brier": float(brier_score_loss(defaulted, told)),
    }


def apart(
    told: dict[str, np.ndarray], chosen: str, defaulted: np.ndarray, seed: int
) -> dict[str, float]:
    """Standard error of each area's distance from the chosen one's, by the bootstrap (Efron 1979).

    On the same rows, drawn together: who is hard to tell is so for all, which parts nobody. The
    error of one area alone is some three times as large as that of a distance.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(defaulted), size=(DRAWS, len(defaulted)))
    areas = {
        name: np.array([roc_auc_score(defaulted[rows], each[rows]) for rows in drawn])
        for name, each in told.items()
    }
    return {name: float(np.std(each - areas[chosen])) for name, each in areas.items()}


def relied_on(made: Pipeline, rows: Rows, seed: int) -> list[float]:
    """Area lost when the columns of each of `GROUPS` are shuffled together (Breiman 2001)."""
    order = np.random.default_rng(seed).permutation(len(rows.numbers))
    whole = roc_auc_score(rows.defaulted, made.predict_proba(rows.numbers)[:, 1])
    lost = []
    for name in GROUPS:
        places = [place for place, column in enumerate(NUMBERS) if group(column) == name]
        shuffled = rows.numbers.copy()
        shuffled[:, places] = rows.numbers[order][:, places]
        told = made.predict_proba(shuffled)[:, 1]
        lost.append(float(whole - roc_auc_score(rows.defaulted, told)))
    return lost


def judged(
    name: str, settings: Settings, found: Found | None, first: Rows, second: Rows, seed: int
) -> tuple[Candidate, np.ndarray]:
    """Fitted on the first part, scored on the second; with what the search used."""
    made = pipeline(settings, seed).fit(first.numbers, first.defaulted)
    told = made.predict_proba(second.numbers)[:, 1]
    metrics, curves = figures(told, second.defaulted), {}
    if found is not None and found.best is not None:
        ends = [each.ended for each in found.trials]
        metrics = {
            "roc_auc": metrics["roc_auc"],
            "area_in_search": float(found.best.score or 0.0),
            "trials": float(len(ends)),
            "pruned": float(ends.count("pruned")),
            "over_memory": float(ends.count("memory")),
            "fits": float(found.trials[-1].fits),
            "cut": float(found.ended != "done"),
            **metrics,
        }
        scored = [each for each in found.trials if each.score is not None]
        curves["fits"] = [float(each.fits) for each in scored]
        curves["area"] = [each.score or 0.0 for each in scored]
        curves["learner"] = [float(LEARNERS.index(each.settings["learner"])) for each in scored]
    if name != "baseline":
        curves["relied_on"] = relied_on(made, second, seed)
    return Candidate(name, metrics, settings, curves), told


def sharpest(told: np.ndarray, defaulted: np.ndarray) -> float:
    """The threshold of the best F1, in steps of a hundredth."""
    cuts = np.round(np.arange(0.05, 0.9, 0.01), 2)
    return float(cuts[np.argmax([f1_score(defaulted, told >= cut) for cut in cuts])])


def fit(
    *,
    train: Examples[Cardholder, bool],
    weights: Path,
    seed: int,
    searches: list[str],
    fits: int,
    seconds: float,
    megabytes: int,
    trees: int,
    by_hand: list[Settings],
) -> Fitted:
    """Choose by the area on the second part. What a clock cut is compared and never served."""
    every = Rows(features(train.records)["numbers"], np.array(train.truths))
    first, second = (
        Rows(every.numbers[part], every.defaulted[part])
        for part in train_test_split(
            np.arange(len(train)), test_size=0.25, random_state=seed, stratify=every.defaulted
        )
    )
    budget = Budget(fits, seconds, megabytes)
    found = searched(searches, budget, first, seed=seed, trees=trees, by_hand=by_hand)
    if short := [name for name, each in found.items() if each.best is None]:
        raise RuntimeError(f"{', '.join(short)}: no trial was scored: raise seconds or megabytes")
    recipes = UNTUNED | {name: each.best.settings for name, each in found.items() if each.best}
    tried, told = [], {}
    with quiet():
        for name, settings in recipes.items():
            one, told[name] = judged(name, settings, found.get(name), first, second, seed)
            tried.append(one)
        allowed = [each for each in tried[1:] if not each.metrics.get("cut")]
        chosen = max(allowed, key=lambda each: each.metrics["roc_auc"]).name
        errors = apart(told, chosen, second.defaulted, seed)
        for one in tried:
            one.metrics["roc_auc_std"] = errors[one.name]
        best = pipeline(recipes[chosen], seed).fit(every.numbers, every.defaulted)
    threshold = sharpest(told[chosen], second.defaulted)
    export_boosting()
    export_onnx(best, {"numbers": len(NUMBERS)}, weights)
    (weights / "decision.json").write_text(json.dumps({"threshold": threshold}) + "\n")

    def native(asked: list[Cardholder]) -> list[Outlook]:
        return outlooks(best.predict_proba(features(asked)["numbers"])[:, 1], threshold)

    return Fitted(tried, chosen, native)


def score(*, answers: list[Outlook], truths: list[bool]) -> dict[str, float]:
    defaulted = np.array(truths)
    told = np.array([each.probability for each in answers])
    flagged = np.array([each.defaults for each in answers])
    return {
        **figures(told, defaulted),
        "f1": float(f1_score(defaulted, flagged)),
        "recall": float(flagged[defaulted].mean()),
        "flagged": float(flagged.mean()),
        "mean_told_less_happened": float(told.mean() - defaulted.mean()),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    runs = [each for each in evaluation.candidates if "area" in each.curves]
    figure, (left, right) = plots.panels(2)
    for each, colour in zip(runs, COLOURS, strict=False):
        best = np.maximum.accumulate(each.curves["area"])
        left.step(each.curves["fits"], best, where="post", color=colour, label=each.name)
    highest = max(max(each.curves["area"]) for each in runs)
    left.set(xlabel="fits", ylabel="area in the folds", ylim=(highest - 0.025, highest + 0.002))
    left.legend(frameon=False, fontsize=7, loc="lower right")
    left.set_title("Best so far, by fits used")
    visits(right, runs)
    yield "searches", figure
    yield "selected", selected(evaluation)
    told = [each.probability for each in evaluation.answers]
    figure, (left, right) = plots.panels(2, height=3.2)
    plots.roc(left, evaluation.test.truths, told)
    plots.precision_recall(right, evaluation.test.truths, told)
    yield "curves", figure


def visits(axes: Axes, runs: list[Candidate]) -> None:
    """Where each search spent its trials that came to a score."""
    start = np.zeros(len(runs))
    for number, (learner, colour) in enumerate(zip(LEARNERS, COLOURS, strict=True)):
        counts = np.array([each.curves["learner"].count(float(number)) for each in runs])
        axes.barh([each.name for each in runs], counts, left=start, color=colour, label=learner)
        start += counts
    axes.invert_yaxis()
    axes.set_ylim(len(runs) - 0.4, -1.4)
    axes.legend(frameon=False, fontsize=7, ncols=3, loc="upper left")
    axes.set(xlabel="trials", title="Learners that were scored")


def selected(evaluation: Evaluation) -> Figure:
    """What each candidate relies on, and what it is."""
    shown = [each for each in evaluation.candidates if "relied_on" in each.curves]
    lost = np.array([each.curves["relied_on"] for each in shown])
    figure, axes = plots.panels(2, height=1.2 + 0.42 * len(shown))
    axes[0].imshow(lost, cmap="GnBu", aspect="auto", vmin=0)
    for row, values in enumerate(lost):
        for column, value in enumerate(values):
            colour = "white" if value > lost.max() / 2 else plots.INK
            axes[0].text(
                column, row, f"{value:.3f}", ha="center", va="center", color=colour, size=7
            )
    axes[0].set_xticks(range(len(GROUPS)), [each.replace("_", " ") for each in GROUPS])
    axes[0].set_yticks(range(len(shown)), [each.name for each in shown])
    axes[0].set_title("Area lost when shuffled (validation)")
    for row, each in enumerate(shown):
        axes[1].text(0, row, summary(each.parameters), va="center", size=7)
    axes[1].set(ylim=(len(shown) - 0.5, -0.5), xlim=(0, 1))
    axes[1].axis("off")
    axes[1].set_title("Selected")
    return figure


def summary(settings: Settings) -> str:
    """The learner, its columns, and what it has most of."""
    told = [settings["learner"], settings["columns"].replace("_", " ")]
    if settings["percent_kept"] < 100:
        told.append(f"best {settings['percent_kept']} %")
    names = {
        "preparation": "",
        "hidden_layer_sizes": "layers ",
        "n_estimators": "trees ",
        "learning_rate": "rate ",
        "num_leaves": "leaves ",
        "max_leaves": "leaves ",
        "max_depth": "depth ",
        "C": "C ",
    }
    for name, word in names.items():
        value = settings.get(name)
        if value:
            told.append(f"{word}{value:.3g}" if isinstance(value, float) else f"{word}{value}")
    return ", ".join(told)
