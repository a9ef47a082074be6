"""Manual tuning, random search, Optuna and FLAML under one budget; the best pipeline is served.

Rows are parted in two: searches see the first part alone, in folds. What each found is fitted on
that part and compared on the second, which no search has seen; the winner is fitted on both.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline

from slipway.training import Candidate, Evaluation, Examples, Fitted, measures, plots
from slipway.training.tabular import export_boosting, export_onnx

from .budget import Budget, Found, Search, run
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
FIGURES = ("roc_auc", "average_precision", "brier")
GROUPS = ("delay", "bill", "paid", "use", "share_paid", "other")
COLOURS = (plots.INK, plots.PALE, "#d1793b", plots.ACCENT, "#7a5195")
SIDE_BY_SIDE = 2
DRAWS = 200


def group(name: str) -> str:
    """Of a column: which of `GROUPS` it tells of."""
    if name in ("months_behind", "worst_delay", "mean_delay"):
        return "delay"
    return next((each for each in GROUPS if name.startswith(each)), "other")


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
    calls: dict[str, tuple[Search, Settings]] = {
        "manual": (manual, {"settings": by_hand}),
        "random_search": (optimise, {"sampler": "random", "prune": False, "trees": trees}),
        "optuna_tpe": (optimise, {"sampler": "tpe", "prune": False, "trees": trees}),
        "optuna_tpe_pruned": (optimise, {"sampler": "tpe", "prune": True, "trees": trees}),
        "flaml": (flaml, {}),
    }
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        started = {}
        for name in names:
            search, own = calls[name]
            started[name] = pool.submit(run, search, budget, rows=rows, seed=seed, **own)
        return {name: each.result() for name, each in started.items()}


def apart(
    told: dict[str, np.ndarray], chosen: str, defaulted: np.ndarray, seed: int
) -> dict[str, float]:
    """Standard error of each area's distance from the chosen one's, by the bootstrap (Efron 1979).

    On the same rows, drawn together: who is hard to tell is so for all, which parts nobody. The
    error of one area alone is some three times as large as that of a distance.
    """
    rows = len(defaulted)
    drawn = np.random.default_rng(seed).integers(rows, size=(DRAWS, rows))
    areas = {
        name: np.array([roc_auc_score(defaulted[some], each[some]) for some in drawn])
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
    metrics, curves = measures.of_forecasts(second.defaulted, *FIGURES, told=told), {}
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
        curves = {
            "fits": [float(each.fits) for each in found.scored],
            "area": [each.score or 0.0 for each in found.scored],
            "learner": [float(LEARNERS.index(each.settings["learner"])) for each in found.scored],
        }
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
    numbers, defaulted = features(train.records)["numbers"], np.array(train.truths)
    parts = train_test_split(
        numbers, defaulted, test_size=0.25, random_state=seed, stratify=defaulted
    )
    first, second = Rows(*parts[::2]), Rows(*parts[1::2])
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
        best = pipeline(recipes[chosen], seed).fit(numbers, defaulted)
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
        **measures.of_forecasts(defaulted, *FIGURES, "f1", "recall", told=told, decided=flagged),
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
    left.set(xlabel="fits", ylabel="area in the folds", title="Best so far, by fits used")
    left.set_ylim(highest - 0.025, highest + 0.002)
    left.legend(fontsize=7, loc="lower right")
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
    axes.legend(fontsize=7, ncols=3, loc="upper left")
    axes.set(xlabel="trials", title="Learners that were scored")
    # Upside down: the first on top, and room over it.
    axes.set_ylim(len(runs) - 0.4, -1.4)


def selected(evaluation: Evaluation) -> Figure:
    """What each candidate relies on, and what it is."""
    shown = [each for each in evaluation.candidates if "relied_on" in each.curves]
    lost = np.array([each.curves["relied_on"] for each in shown])
    figure, (left, right) = plots.panels(2, height=1.2 + 0.42 * len(shown))
    rows, columns = [each.name for each in shown], [each.replace("_", " ") for each in GROUPS]
    title = "Area lost when shuffled (validation)"
    plots.heat(left, lost, rows, columns, title, form="{:.3f}", wide=True)
    for row, each in enumerate(shown):
        right.text(0, row, summary(each.parameters), va="center", size=7)
    right.set(ylim=(len(shown) - 0.5, -0.5), xlim=(0, 1), title="Selected")
    right.axis("off")
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
