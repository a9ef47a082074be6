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
from sklearn.model_selection import train_test_split

from slipway.datasets import fetch
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.selection import simplest_within_error
from slipway.training.tabular import export_onnx

from .data import earlier_tasks
from .history import build_history, by_similarity, starts
from .learners import AS_IT_COMES, NETWORK, SPACE, Rows, Task, accuracy, fitted
from .model import LETTERS, NUMBERS, Glyph, Letter, features, letters
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

    return lambda settings: known(json.dumps(settings))


def run_searches(
    objective: Objective, warm: list[Settings], *, trials: int, seeds: list[int]
) -> dict[str, list[Tried]]:
    """Run every search with every seed; return what each tried, one list per seed."""
    ways: dict[str, Callable[..., Tried]] = {
        "random_search": random_search,
        "optuna_tpe": tpe,
        "gaussian_process": bayesian,
        "gaussian_process_warm": partial(bayesian, starts=warm),
    }
    return {
        name: [way(SPACE, objective, trials=trials, seed=seed) for seed in seeds]
        for name, way in ways.items()
    }


def split(train: LabelledRows[Glyph, str], seed: int) -> tuple[Rows, Rows, Rows]:
    """Return three fifths to learn from, a fifth to score trials, a fifth to compare winners."""
    numbers, labels = features(train.records)["numbers"], np.array(train.labels)
    learn, rest = train_test_split(np.arange(len(labels)), test_size=0.4, random_state=seed)
    watch, judge = np.array_split(rest, 2)
    first, second, third = ((numbers[part], labels[part]) for part in (learn, watch, judge))
    return first, second, third


def fit(
    *,
    train: LabelledRows[Glyph, str],
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
    past = build_history(before, SPACE, trials=task_trials, seed=seed)
    targets = [Task(f"letters_{rows}", (learn[0][:rows], learn[1][:rows]), watch) for rows in rungs]
    warm = starts(targets[0], past, tasks=nearest, each=from_each)
    scores = [cached(lambda each, at=target: accuracy(each, at, seed)) for target in targets]  # type: ignore[misc]
    runs = run_searches(scores[0], warm, trials=trials, seeds=seeds)
    judging = Task("judge", learn, judge)
    tried = untuned(judging, seed)
    for name, found in runs.items():
        climbed = halved(together(found), scores, share=share)
        winner = max(climbed[-1], key=lambda tried: tried[1])[0]
        best = max(longer(winner, epochs), key=scores[-1])
        metrics = {
            "accuracy": accuracy(best, judging, seed),
            "on_last_rung": scores[-1](winner),
            "taught_longer": scores[-1](best),
        }
        tried.append(candidate(name, best, metrics, found, climbed))
    tried = [with_error(each, len(judge[1])) for each in tried]
    for one, far in by_similarity(targets[0], past):
        # For the picture of the history only.
        tried[-1].curves[f"task_{one.name}"] = [far, max(value for _, value in one.tried)]
    own = [each for each in tried if each.name in OWN]
    chosen = simplest_within_error(own, "accuracy", best="highest")
    everything = features(train.records)["numbers"], np.array(train.labels)
    served = fitted(chosen.parameters, everything, seed)
    export_onnx(served, {"numbers": len(NUMBERS)}, weights)

    def framework_predict(records: list[Glyph]) -> list[Letter]:
        y_prob = served.predict_proba(features(records)["numbers"])
        return letters(for_all_letters(served.classes_, y_prob))

    return Fitted(tried, chosen.name, framework_predict)


def for_all_letters(classes: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return probabilities (rows, 26), 0 for letters that are not among `classes`."""
    filled = np.zeros((len(probabilities), len(LETTERS)))
    filled[:, [LETTERS.index(each) for each in classes]] = probabilities
    return filled


def with_error(candidate: Candidate, rows: int) -> Candidate:
    """Return the candidate with the standard error of its accuracy, a share of `rows`."""
    accuracy = candidate.metrics["accuracy"]
    return candidate.with_metrics({"accuracy_se": float(np.sqrt(accuracy * (1 - accuracy) / rows))})


def untuned(judging: Task, seed: int) -> list[Candidate]:
    """Return the candidates without a search: the commonest letter and a default network."""
    names, counts = np.unique(judging.learn[1], return_counts=True)
    common = float(np.mean(judging.held[1] == names[np.argmax(counts)]))
    plain: Settings = {"learner": AS_IT_COMES}
    return [
        Candidate("baseline", {"accuracy": common}, {"learner": "the commonest letter"}),
        Candidate(AS_IT_COMES, {"accuracy": accuracy(plain, judging, seed)}, plain),
    ]


def together(runs: list[Tried]) -> list[Settings]:
    """Return the settings that the seeds of a search tried, without repeats."""
    return list({json.dumps(each): each for run in runs for each, _ in run}.values())


def longer(winner: Settings, epochs: list[int]) -> list[Settings]:
    """Return the winner, and if it is a network, the same with each number of epochs."""
    more = epochs if winner["learner"] == NETWORK else []
    return [winner, *({**winner, "epochs": each} for each in more)]


def candidate(
    name: str,
    best: Settings,
    metrics: dict[str, float],
    runs: list[Tried],
    climbed: list[Tried],
) -> Candidate:
    """Return the candidate of a search, with the curves of its seeds and of each rung."""
    values = [[value for _, value in run] for run in runs]
    found = np.maximum.accumulate(values, axis=1)
    metrics = {
        **metrics,
        "found": float(found[:, -1].mean()),
        "found_halfway": float(found[:, found.shape[1] // 2 - 1].mean()),
        "found_std": float(found[:, -1].std()),
    }
    curves = {f"seed_{place}": row.tolist() for place, row in enumerate(found)}
    settings = [each for each, _ in climbed[0]]
    for place, rung in enumerate(climbed):
        curves[f"rung_{place}"] = [value for _, value in rung]
    for place, rung in enumerate(climbed):
        curves[f"kept_{place}"] = [float(settings.index(each)) for each, _ in rung]
    return Candidate(name, metrics, best, curves)
