"""Three ways to search a space, and successive halving of the settings that they tried."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import optuna

from .gaussian import Gaussian, expected_improvement
from .space import Choice, Int, Part, Settings, Space

Objective = Callable[[Settings], float]
Tried = list[tuple[Settings, float]]
RANDOM_FIRST = 6
PROPOSALS = 400


def random_settings(space: Space, count: int, seed: int) -> list[Settings]:
    """Return random settings; fewer of them with the same seed are the first of these."""
    rng = np.random.default_rng(seed)
    return [space.draw(rng) for _ in range(count)]


def random_search(space: Space, objective: Objective, *, trials: int, seed: int) -> Tried:
    """Try random settings."""
    return [(each, objective(each)) for each in random_settings(space, trials, seed)]


def bayesian(
    space: Space, objective: Objective, *, trials: int, seed: int, starts: Sequence[Settings] = ()
) -> Tried:
    """Try the settings with the highest expected improvement under a Gaussian process.

    The search begins with `starts`, or without any with the first random settings of its seed. The
    highest improvement is sought among random settings and neighbours of the best.
    """
    rng = np.random.default_rng([seed, 1])
    first = list(starts) or random_settings(space, RANDOM_FIRST, seed)
    tried = [(each, objective(each)) for each in first[:trials]]
    while len(tried) < trials:
        values = np.array([value for _, value in tried])
        posterior = Gaussian.fit(np.array([space.encode(each) for each, _ in tried]), values)
        leaders = [tried[place][0] for place in np.argsort(-values)[:4]]
        proposals = [space.draw(rng) for _ in range(PROPOSALS)]
        proposals += [
            space.near(each, rng, 0.15) for each in leaders for _ in range(PROPOSALS // 4)
        ]
        mean, deviation = posterior.predict(np.array([space.encode(each) for each in proposals]))
        gain = expected_improvement(mean, deviation, float(values.max()))
        chosen = proposals[int(np.argmax(gain))]
        tried.append((chosen, objective(chosen)))
    return tried


def tpe(space: Space, objective: Objective, *, trials: int, seed: int) -> Tried:
    """Run Optuna's TPE (Bergstra et al. 2011) on the same space, to compare with.

    It begins with the first random settings of the seed, like the other searches.
    """
    tried: Tried = []

    def objective_of_trial(trial: optuna.Trial) -> float:
        settings = space.filled(partial(suggested, trial))
        tried.append((settings, objective(settings)))
        return tried[-1][1]

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM_FIRST)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for each in random_settings(space, min(RANDOM_FIRST, trials), seed):
        study.enqueue_trial(each)
    study.optimize(objective_of_trial, n_trials=trials)
    return tried


def suggested(trial: optuna.Trial, name: str, part: Part) -> Any:
    """Return Optuna's suggestion for one part of the space."""
    if isinstance(part, Choice):
        return trial.suggest_categorical(name, part.values)
    if isinstance(part, Int):
        return trial.suggest_int(name, int(part.low), int(part.high), log=part.log)
    return trial.suggest_float(name, part.low, part.high, log=part.log)


def halved(settings: Sequence[Settings], scores: Sequence[Objective], *, share: int) -> list[Tried]:
    """Run successive halving (Jamieson and Talwalkar 2016); return what was tried on each rung.

    All settings run on the first rung, and the best `share`-th of each rung on the next one.
    """
    rungs: list[Tried] = []
    left = list(settings)
    for score in scores:
        rungs.append([(each, score(each)) for each in left])
        best = sorted(rungs[-1], key=lambda tried: -tried[1])
        left = [each for each, _ in best[: max(1, len(best) // share)]]
    return rungs
