"""Three ways through a space, and giving up early on what does badly on few rows."""

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
ASKED = 400


def randomly(space: Space, objective: Objective, *, trials: int, seed: int) -> Tried:
    rng = np.random.default_rng(seed)
    drawn = [space.draw(rng) for _ in range(trials)]
    return [(each, objective(each)) for each in drawn]


def bayesian(
    space: Space, objective: Objective, *, trials: int, seed: int, starts: Sequence[Settings] = ()
) -> Tried:
    """Settings of the highest expected improvement under a Gaussian process of those tried.

    It begins with `starts`, or with a few random ones where there are none. The improvement is
    looked for among random settings and neighbours of the best.
    """
    rng = np.random.default_rng(seed)
    first = list(starts) or [space.draw(rng) for _ in range(RANDOM_FIRST)]
    tried = [(each, objective(each)) for each in first[:trials]]
    while len(tried) < trials:
        values = np.array([value for _, value in tried])
        known = Gaussian.learnt(np.array([space.encode(each) for each, _ in tried]), values)
        leaders = [tried[place][0] for place in np.argsort(-values)[:4]]
        asked = [space.draw(rng) for _ in range(ASKED)]
        asked += [space.near(each, rng, 0.15) for each in leaders for _ in range(ASKED // 4)]
        mean, deviation = known.predict(np.array([space.encode(each) for each in asked]))
        gain = expected_improvement(mean, deviation, float(values.max()))
        chosen = asked[int(np.argmax(gain))]
        tried.append((chosen, objective(chosen)))
    return tried


def tpe(space: Space, objective: Objective, *, trials: int, seed: int) -> Tried:
    """Optuna's, to compare with (Bergstra et al. 2011), on the same space."""
    tried: Tried = []

    def asked(trial: optuna.Trial) -> float:
        found = space.filled(partial(suggested, trial))
        tried.append((found, objective(found)))
        return tried[-1][1]

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM_FIRST)
    optuna.create_study(direction="maximize", sampler=sampler).optimize(asked, n_trials=trials)
    return tried


def suggested(trial: optuna.Trial, name: str, part: Part) -> Any:
    if isinstance(part, Choice):
        return trial.suggest_categorical(name, part.values)
    if isinstance(part, Int):
        return trial.suggest_int(name, int(part.low), int(part.high), log=part.log)
    return trial.suggest_float(name, part.low, part.high, log=part.log)


def halved(settings: Sequence[Settings], scores: Sequence[Objective], *, share: int) -> list[Tried]:
    """Successive halving (Jamieson and Talwalkar 2016): what was tried on each rung.

    All run on the first rung, on each next one the best `share`-th of those before it.
    """
    rungs: list[Tried] = []
    left = list(settings)
    for score in scores:
        rungs.append([(each, score(each)) for each in left])
        best = sorted(rungs[-1], key=lambda tried: -tried[1])
        left = [each for each, _ in best[: max(1, len(best) // share)]]
    return rungs
