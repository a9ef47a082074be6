"""Random search, TPE, and Bayesian optimisation with and without earlier tasks; one is served.

Training rows are parted in three: to learn from, to score what is tried, and to compare the winners
of the searches on. Searches learn from few rows; successive halving takes the best of them on, and
the winner of each is taught for longer. TPE is Optuna's, to compare with: of the searches written
here, the simplest within one standard error of the best is served.
"""

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from slipway.datasets import fetch
from slipway.training import Candidate, Examples, Fitted
from slipway.training.selection import simplest_within_error
from slipway.training.tabular import export_onnx

from .data import earlier
from .history import alike, remembered, starts
from .learners import AS_IT_COMES, NETWORK, SPACE, Rows, Task, accuracy, fitted
from .model import LETTERS, NUMBERS, Glyph, Letter, features, letters
from .search import Objective, Tried, bayesian, halved, randomly, tpe
from .space import Settings

# Simpler is what needs less to search: no model of the objective, then no memory of earlier tasks.
OWN = ("random_search", "gaussian_process", "gaussian_process_warm")


def remembering(score: Objective) -> Objective:
    """The same settings are not learnt twice: searches share their starts."""

    @cache
    def known(settings: str) -> float:
        return score(json.loads(settings))

    return lambda settings: known(json.dumps(settings))


def searched(
    objective: Objective, warm: list[Settings], *, trials: int, seeds: list[int]
) -> dict[str, list[Tried]]:
    """What each search tried, a list a seed."""
    ways: dict[str, Callable[..., Tried]] = {
        "random_search": randomly,
        "optuna_tpe": tpe,
        "gaussian_process": bayesian,
        "gaussian_process_warm": partial(bayesian, starts=warm),
    }
    return {
        name: [way(SPACE, objective, trials=trials, seed=seed) for seed in seeds]
        for name, way in ways.items()
    }


def parted(train: Examples[Glyph, str], seed: int) -> tuple[Rows, Rows, Rows]:
    """Three fifths to learn from, a fifth to score what is tried, a fifth to compare winners."""
    numbers, labels = features(train.records)["numbers"], np.array(train.truths)
    learn, rest = train_test_split(np.arange(len(labels)), test_size=0.4, random_state=seed)
    watch, judge = np.array_split(rest, 2)
    first, second, third = ((numbers[part], labels[part]) for part in (learn, watch, judge))
    return first, second, third


def fit(
    *,
    train: Examples[Glyph, str],
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
    """Make the history, search on the first rung, halve up to the last; choose on other rows."""
    learn, watch, judge = parted(train, seed)
    small = fetch("keel_small_tasks")
    before = earlier(small, names=tasks, learn=task_rows, held=task_rows, seed=seed)
    past = remembered(before, SPACE, trials=task_trials, seed=seed)
    targets = [Task(f"letters_{rows}", (learn[0][:rows], learn[1][:rows]), watch) for rows in rungs]
    warm = starts(targets[0], past, tasks=nearest, each=from_each)
    scores = [remembering(lambda each, at=target: accuracy(each, at, seed)) for target in targets]  # type: ignore[misc]
    runs = searched(scores[0], warm, trials=trials, seeds=seeds)
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
    for one, far in alike(targets[0], past):
        # For the picture of the history; what was best there is told, not compared.
        tried[-1].curves[f"task_{one.name}"] = [far, max(value for _, value in one.tried)]
    own = [each for each in tried if each.name in OWN]
    chosen = simplest_within_error(own, "accuracy", best="highest")
    everything = features(train.records)["numbers"], np.array(train.truths)
    served = fitted(chosen.parameters, everything, seed)
    export_onnx(served, {"numbers": len(NUMBERS)}, weights)

    def native(asked: list[Glyph]) -> list[Letter]:
        told = served.predict_proba(features(asked)["numbers"])
        return letters(spread(served.classes_, told))

    return Fitted(tried, chosen.name, native)


def spread(classes: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(rows, 26): a letter that training had none of has no probability."""
    found = np.zeros((len(probabilities), len(LETTERS)))
    found[:, [LETTERS.index(each) for each in classes]] = probabilities
    return found


def with_error(candidate: Candidate, rows: int) -> Candidate:
    """Return the candidate with the standard error of its accuracy, a share of `rows`."""
    accuracy = candidate.metrics["accuracy"]
    return candidate.with_metrics({"accuracy_se": float(np.sqrt(accuracy * (1 - accuracy) / rows))})


def untuned(judging: Task, seed: int) -> list[Candidate]:
    """The commonest letter, and scikit-learn's network as it comes."""
    names, counts = np.unique(judging.learn[1], return_counts=True)
    common = float(np.mean(judging.held[1] == names[np.argmax(counts)]))
    plain: Settings = {"learner": AS_IT_COMES}
    return [
        Candidate("baseline", {"accuracy": common}, {"learner": "the commonest letter"}),
        Candidate(AS_IT_COMES, {"accuracy": accuracy(plain, judging, seed)}, plain),
    ]


def together(runs: list[Tried]) -> list[Settings]:
    """What the seeds of a search tried, none twice."""
    return list({json.dumps(each): each for run in runs for each, _ in run}.values())


def longer(winner: Settings, epochs: list[int]) -> list[Settings]:
    """The winner, and where it is a network the same with each number of epochs."""
    more = epochs if winner["learner"] == NETWORK else []
    return [winner, *({**winner, "epochs": each} for each in more)]


def candidate(
    name: str,
    best: Settings,
    metrics: dict[str, float],
    runs: list[Tried],
    climbed: list[Tried],
) -> Candidate:
    """What a search came to; curves of all its seeds, and of what they tried on each rung."""
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
