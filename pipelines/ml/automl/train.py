"""Manual tuning, random search, Optuna and FLAML under one budget; one pipeline is served.

The training rows are split in two. Searches see only the first part, in folds. The best pipeline of
each search is fitted on that part and compared on the second, which no search has seen. The
simplest candidate within one standard error of the best is fitted on both parts and served.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.boosting_export import export_boosting
from slipway.training.candidates import BASELINE
from slipway.training.selection import simplest_within_error
from slipway.training.tabular import export_onnx
from slipway.training.validation import binary_metrics

from .budget import Budget, Search, SearchResult, run
from .metrics import FIGURES, GROUPS, LEARNERS
from .model import NUMBERS, Cardholder, Outlook, features, outlooks
from .searches import Rows, flaml, manual, optimise, quiet
from .space import Settings, pipeline

PLAIN: Settings = {"columns": "as_given", "percent_kept": 100}
# To compare with: candidates that were not run_searches for.
UNTUNED: dict[str, Settings] = {
    "baseline": {"learner": "baseline", **PLAIN},
    "logistic_as_it_comes": {"learner": "logistic", **PLAIN},
    "lightgbm_as_it_comes": {"learner": "lightgbm", **PLAIN},
}
# From the simplest to the most complex: a list written by hand, random settings, searches that
# model the objective, and a library with its own space.
SEARCHES: dict[str, tuple[Search, Settings]] = {
    "manual": (manual, {}),
    "random_search": (optimise, {"sampler": "random", "prune": False}),
    "optuna_tpe": (optimise, {"sampler": "tpe", "prune": False}),
    "optuna_tpe_pruned": (optimise, {"sampler": "tpe", "prune": True}),
    "flaml": (flaml, {}),
}
SIDE_BY_SIDE = 2
DRAWS = 200


def group(name: str) -> str:
    """Return the one of `GROUPS` to which a column belongs."""
    if name in ("months_behind", "worst_delay", "mean_delay"):
        return "delay"
    return next((each for each in GROUPS if name.startswith(each)), "other")


def run_searches(
    names: list[str],
    budget: Budget,
    rows: Rows,
    *,
    seed: int,
    trees: int,
    by_hand: list[Settings],
) -> dict[str, SearchResult]:
    """Run each search in `names`, two at a time; return their results in the order of SEARCHES.

    Raises:
        KeyError: a name is not one of SEARCHES.
    """
    given: dict[Search, Settings] = {manual: {"settings": by_hand}, optimise: {"trees": trees}}
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        started = {}
        for name in sorted(names, key=list(SEARCHES).index):
            search, own = SEARCHES[name]
            own = own | given.get(search, {})
            started[name] = pool.submit(run, search, budget, rows=rows, seed=seed, **own)
        return {name: each.result() for name, each in started.items()}


def resampled_areas(
    y_prob: dict[str, np.ndarray], defaulted: np.ndarray, seed: int
) -> dict[str, np.ndarray]:
    """Return each candidate's area on the same resamples of the rows (DRAWS,). Efron (1979)."""
    rows = len(defaulted)
    drawn = np.random.default_rng(seed).integers(rows, size=(DRAWS, rows))
    return {
        name: np.array([roc_auc_score(defaulted[some], each[some]) for some in drawn])
        for name, each in y_prob.items()
    }


def distance_errors(areas: dict[str, np.ndarray], chosen: str) -> dict[str, float]:
    """Return the standard error of each area's distance from the chosen one's.

    Rows that are hard for one candidate are hard for all, and cancel out: the error of one area
    alone is some three times as large as that of a distance.
    """
    return {name: float(np.std(each - areas[chosen])) for name, each in areas.items()}


def group_importance(fitted: Pipeline, rows: Rows, seed: int) -> list[float]:
    """Return the area lost when the columns of each of `GROUPS` are shuffled together.

    Breiman (2001).
    """
    order = np.random.default_rng(seed).permutation(len(rows.numbers))
    whole = roc_auc_score(rows.defaulted, fitted.predict_proba(rows.numbers)[:, 1])
    lost = []
    for name in GROUPS:
        places = [place for place, column in enumerate(NUMBERS) if group(column) == name]
        shuffled = rows.numbers.copy()
        shuffled[:, places] = rows.numbers[order][:, places]
        y_prob = fitted.predict_proba(shuffled)[:, 1]
        lost.append(float(whole - roc_auc_score(rows.defaulted, y_prob)))
    return lost


def validate(
    name: str, settings: Settings, found: SearchResult | None, first: Rows, second: Rows, seed: int
) -> tuple[Candidate, np.ndarray]:
    """Fit on the first part and score on the second; return the candidate and its probabilities."""
    fitted = pipeline(settings, seed).fit(first.numbers, first.defaulted)
    y_prob = fitted.predict_proba(second.numbers)[:, 1]
    metrics, curves = binary_metrics(second.defaulted, *FIGURES, y_prob=y_prob), {}
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
        curves["relied_on"] = group_importance(fitted, second, seed)
    return Candidate(name, metrics, settings, curves), y_prob


def best_threshold(y_prob: np.ndarray, defaulted: np.ndarray) -> float:
    """Return the threshold with the best F1, in steps of 0.01."""
    cuts = np.round(np.arange(0.05, 0.9, 0.01), 2)
    return float(cuts[np.argmax([f1_score(defaulted, y_prob >= cut) for cut in cuts])])


def fit(
    *,
    train: LabelledRows[Cardholder, bool],
    weights: Path,
    seed: int,
    searches: list[str],
    fits: int,
    seconds: float,
    megabytes: int,
    trees: int,
    by_hand: list[Settings],
) -> Fitted:
    """Search, and choose by the area on the second part.

    A search that was stopped by its time is compared but never served, like the baseline.

    Raises:
        RuntimeError: a search has no scored trial.
    """
    numbers, defaulted = features(train.records)["numbers"], np.array(train.labels)
    parts = train_test_split(
        numbers, defaulted, test_size=0.25, random_state=seed, stratify=defaulted
    )
    first, second = Rows(*parts[::2]), Rows(*parts[1::2])
    budget = Budget(fits, seconds, megabytes)
    found = run_searches(searches, budget, first, seed=seed, trees=trees, by_hand=by_hand)
    if short := [name for name, each in found.items() if each.best is None]:
        raise RuntimeError(f"{', '.join(short)}: no trial was scored; raise seconds or megabytes")
    recipes = UNTUNED | {name: each.best.settings for name, each in found.items() if each.best}
    tried, y_prob = [], {}
    with quiet():
        for name, settings in recipes.items():
            one, y_prob[name] = validate(name, settings, found.get(name), first, second, seed)
            tried.append(one)
        areas = resampled_areas(y_prob, second.defaulted, seed)
        errors = {name: float(np.std(each, ddof=1)) for name, each in areas.items()}
        chosen = choose(tried, errors).name
        distances = distance_errors(areas, chosen)
        tried = [
            each.with_metrics(
                {"roc_auc_std": distances[each.name], "roc_auc_se": errors[each.name]}
            )
            for each in tried
        ]
        best = pipeline(recipes[chosen], seed).fit(numbers, defaulted)
    threshold = best_threshold(y_prob[chosen], second.defaulted)
    export_boosting()
    export_onnx(best, {"numbers": len(NUMBERS)}, weights)
    (weights / "decision.json").write_text(json.dumps({"threshold": threshold}) + "\n")

    def framework_predict(records: list[Cardholder]) -> list[Outlook]:
        return outlooks(best.predict_proba(features(records)["numbers"])[:, 1], threshold)

    return Fitted(tried, chosen, framework_predict)


def choose(tried: list[Candidate], errors: dict[str, float]) -> Candidate:
    """Return the candidate to serve, given the standard error of each area by name."""
    allowed = [
        each.with_metrics({"roc_auc_se": errors[each.name]})
        for each in tried
        if each.name != BASELINE and not each.metrics.get("cut")
    ]
    return simplest_within_error(allowed, "roc_auc", best="highest")
