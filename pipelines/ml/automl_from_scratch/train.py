"""Random search, TPE, and Bayesian optimization with and without earlier tasks; one is served.

The training rows are split in three: to learn from, to score trials on, and to compare the winners
of the searches on. Searches learn from few rows. Successive halving trains their best settings on
more rows, and a winning network is trained for more epochs. Of the searches written here, the
simplest within one standard error of the best is served. TPE is Optuna's, to compare with.
"""

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.datasets import fetch
from slipway.kits.metrics.classes import share_error
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.selection import simplest_within_error
from slipway.training.tabular import export_onnx

from .comparison import best_so_far, gains
from .data import earlier_tasks
from .history import build_history, by_similarity, starts
from .learners import (
    DEFAULT_NETWORK,
    DEFAULT_SVM,
    NETWORK,
    PICTURES,
    SVM,
    TABLES,
    Rows,
    Task,
    accuracy,
    fitted,
)
from .model import LABELS, PIXELS, Drawing, ReadDigit, features, read_digits
from .search import Objective, Tried, bayesian, halved, random_search, tpe
from .space import Settings

# From the simplest to the most complex: without a model of the objective, with one, and with a
# history of earlier tasks.
OWN = ("random_search", "gaussian_process", "gaussian_process_warm")


def cached(score: Objective) -> Objective:
    """Return `score` with a cache, since searches share their first settings."""

    @cache
    def known(settings: str) -> float:
        return score(json.loads(settings))

    return lambda settings: known(json.dumps(settings, sort_keys=True))


def run_searches(
    objective: Objective, warm: list[Settings], *, trials: int, seeds: list[int]
) -> dict[str, list[Tried]]:
    """Run every search with every seed; return what each tried, one list per seed.

    With the same seed, all but the warm search begin with the same random settings.
    """
    ways: dict[str, Callable[..., Tried]] = {
        "random_search": random_search,
        "optuna_tpe": tpe,
        "gaussian_process": bayesian,
        "gaussian_process_warm": partial(bayesian, starts=warm),
    }
    return {
        name: [way(PICTURES, objective, trials=trials, seed=seed) for seed in seeds]
        for name, way in ways.items()
    }


def split(train: LabelledRows[Drawing, str], seed: int) -> tuple[Rows, Rows, Rows]:
    """Return three fifths to learn from, a fifth to score trials, a fifth to compare winners."""
    numbers, labels = features(train.records)["numbers"], np.array(train.labels)
    learn, rest = train_test_split(np.arange(len(labels)), test_size=0.4, random_state=seed)
    watch, judge = np.array_split(rest, 2)
    first, second, third = ((numbers[part], labels[part]) for part in (learn, watch, judge))
    return first, second, third


def with_views(tables: list[Settings], seed: int) -> list[Settings]:
    """Return settings of tables with a random view, about which earlier tasks know nothing."""
    rng = np.random.default_rng(seed)
    return [{"view": PICTURES.draw(rng)["view"], **each} for each in tables]


def fit(
    *,
    train: LabelledRows[Drawing, str],
    weights: Path,
    seed: int,
    seeds: list[int],
    trials: int,
    tasks: list[str],
    task_rows: int,
    task_trials: int,
    nearest: int,
    from_each: int,
    rungs: list[int],
    share: int,
    epochs: list[int],
) -> Fitted:
    """Build the history, search on the first rung, halve up to the last, choose on other rows."""
    learn, watch, judge = split(train, seed)
    small = fetch("keel_small_tasks")
    before = earlier_tasks(small, names=tasks, learn=task_rows, held=task_rows, seed=seed)
    past = build_history(before, TABLES, trials=task_trials, seed=seed)
    targets = [Task(f"digits_{rows}", (learn[0][:rows], learn[1][:rows]), watch) for rows in rungs]
    # The meta-features are those of the pixels: the upright view repeats them.
    (numbers, labels), _ = targets[0].learn, targets[0].held
    table = Task(targets[0].name, (numbers[:, :PIXELS], labels), (watch[0][:, :PIXELS], watch[1]))
    warm = with_views(starts(table, past, tasks=nearest, each=from_each), seed)
    scores = [cached(lambda each, at=target: accuracy(each, at, seed)) for target in targets]  # type: ignore[misc]
    runs = run_searches(scores[0], warm, trials=trials, seeds=seeds)
    judging = Task("judge", learn, judge)
    tried = defaults(judging, seed)
    found = {name: best_so_far(each) for name, each in runs.items()}
    for name, each in runs.items():
        climbed = halved(together(each), scores, share=share)
        winner = max(climbed[-1], key=lambda tried: tried[1])[0]
        best = max(longer(winner, epochs), key=scores[-1])
        metrics = {
            "accuracy": accuracy(best, judging, seed),
            "on_last_rung": scores[-1](best),
            **found_metrics(found[name]),
            **gains(name, found),
        }
        tried.append(Candidate(name, metrics, best, curves(found[name], climbed)))
    tried = [with_error(each, len(judge[1])) for each in tried]
    for one, far in by_similarity(table, past):
        # For the picture of the history only.
        tried[-1].curves[f"task_{one.name}"] = [far, max(value for _, value in one.tried)]
    own = [each for each in tried if each.name in OWN]
    chosen = simplest_within_error(own, "accuracy", best="highest")
    settings = calibrated(chosen.parameters, learn, judge, seed)
    everything = features(train.records)["numbers"], np.array(train.labels)
    # `export_onnx` writes `model.onnx`: the default machine is exported first, and renamed.
    default = exported(DEFAULT_SVM, everything, weights, seed)
    (weights / "model.onnx").rename(weights / "default.onnx")
    served = exported(settings, everything, weights, seed)

    def framework_predict(records: list[Drawing]) -> list[ReadDigit]:
        numbers = features(records)["numbers"]
        return read_digits(for_all_labels(served, numbers), for_all_labels(default, numbers))

    return Fitted(tried, chosen.name, framework_predict)


def exported(settings: Settings, rows: Rows, weights: Path, seed: int) -> Pipeline:
    """Return the pipeline of the settings, fitted on `rows` and written as ONNX."""
    model = fitted(settings, rows, seed)
    export_onnx(model, {"numbers": rows[0].shape[1]}, weights)
    return model


def calibrated(settings: Settings, learn: Rows, held: Rows, seed: int) -> Settings:
    """Return the settings of a machine with the `sharpness` that has the lowest log loss.

    It does not change which label is the most probable one. The other learners keep their own
    probabilities.
    """
    if settings["learner"] != SVM:
        return settings
    model = fitted({**settings, "sharpness": 1.0}, learn, seed)
    # With a sharpness of 1 the logarithms of the probabilities are votes, up to a constant.
    votes = np.log(model.predict_proba(held[0]))

    def loss(power: float) -> float:
        y_prob = np.exp(np.exp(power) * (votes - votes.max(axis=1, keepdims=True)))
        y_prob /= y_prob.sum(axis=1, keepdims=True)
        return float(log_loss(held[1], y_prob, labels=model.classes_))

    best = minimize_scalar(loss, bounds=(-2.0, 3.0), method="bounded").x
    return {**settings, "sharpness": float(np.exp(best))}


def for_all_labels(model: Pipeline, numbers: np.ndarray) -> np.ndarray:
    """Return probabilities (rows, 10), 0 for labels that the training rows lack."""
    with threadpool_limits(limits=1):
        y_prob = model.predict_proba(numbers)
    filled = np.zeros((len(numbers), len(LABELS)))
    filled[:, [LABELS.index(each) for each in model.classes_]] = y_prob
    return filled


def with_error(candidate: Candidate, rows: int) -> Candidate:
    """Return the candidate with the standard error of its accuracy, a share of `rows`."""
    error = share_error(candidate.metrics["accuracy"], rows)
    return candidate.with_metrics({"accuracy_se": error})


def defaults(judging: Task, seed: int) -> list[Candidate]:
    """Return the candidates without a search: scikit-learn's default machine and network."""
    plain = {"baseline": DEFAULT_SVM, "default_network": DEFAULT_NETWORK}
    return [
        Candidate(name, {"accuracy": accuracy(settings, judging, seed)}, settings)
        for name, settings in plain.items()
    ]


def together(runs: list[Tried]) -> list[Settings]:
    """Return the settings that the seeds of a search tried, without repeats."""
    return list({json.dumps(each): each for run in runs for each, _ in run}.values())


def longer(winner: Settings, epochs: list[int]) -> list[Settings]:
    """Return the winner, and if it is a network, the same with each number of epochs."""
    more = epochs if winner["learner"] == NETWORK else []
    return [winner, *({**winner, "epochs": each} for each in more)]


def found_metrics(found: np.ndarray) -> dict[str, float]:
    """Return the mean best value over seeds (seeds, trials), at the end and halfway."""
    return {
        "found": float(found[:, -1].mean()),
        "found_halfway": float(found[:, found.shape[1] // 2 - 1].mean()),
    }


def curves(found: np.ndarray, climbed: list[Tried]) -> dict[str, list[float]]:
    """Return the best so far of each seed, and the values and settings of each rung."""
    made = {f"seed_{place}": row.tolist() for place, row in enumerate(found)}
    places = {json.dumps(each): float(place) for place, (each, _) in enumerate(climbed[0])}
    for place, rung in enumerate(climbed):
        made[f"rung_{place}"] = [value for _, value in rung]
        made[f"kept_{place}"] = [places[json.dumps(each)] for each, _ in rung]
    return made
