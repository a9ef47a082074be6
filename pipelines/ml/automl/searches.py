"""The searches: a list made by hand, random, Optuna's TPE with pruning or not, and FLAML.

Each may use as many fits as the others. Counted in trials, pruning would gain nothing; counted in
seconds, no two runs would end alike.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.pruners import MedianPruner, NopPruner
from optuna.samplers import RandomSampler, TPESampler
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from .budget import Journal, Trial
from .space import ESTIMATORS, Settings, pipeline, suggested

FOLDS = 3
# FLAML's names and ours. Its linear learner sees numbers that are not scaled, takes ten times as
# long as the others and comes to an area of 0.64: it would use up a quarter of the fits.
LIBRARIES = {"lgbm": "lightgbm", "xgboost": "xgboost", "extra_tree": "extra_trees"}


@dataclass(frozen=True)
class Rows:
    """Numbers (rows, 39) and whether each defaulted (rows,)."""

    numbers: np.ndarray
    defaulted: np.ndarray

    def folds(self, seed: int) -> StratifiedKFold:
        return StratifiedKFold(FOLDS, shuffle=True, random_state=seed)

    def scores(self, settings: Settings, seed: int) -> Iterator[float]:
        """The area under the ROC curve on each fold, one fit each, as they are asked for."""
        for learn, held in self.folds(seed).split(self.numbers, self.defaulted):
            made = pipeline(settings, seed).fit(self.numbers[learn], self.defaulted[learn])
            told = made.predict_proba(self.numbers[held])[:, 1]
            yield float(roc_auc_score(self.defaulted[held], told))


@contextmanager
def quiet() -> Iterator[None]:
    """One thread: two searches run side by side. A network's few epochs are meant."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def manual(tell: Journal, *, fits: int, rows: Rows, seed: int, settings: list[Settings]) -> None:
    """What somebody who knows the learners would try, in order."""
    with quiet():
        for number, each in enumerate(settings[: fits // FOLDS], 1):
            score = float(np.mean(list(rows.scores(each, seed))))
            tell(Trial(each, score, number * FOLDS, "complete"))


def optimise(
    tell: Journal, *, fits: int, rows: Rows, seed: int, sampler: str, prune: bool, trees: int
) -> None:
    """Optuna over `space.suggested`, `sampler` random or tpe (Bergstra et al. 2011).

    Pruned is a trial whose mean over the folds so far is below the median of the trials before it.
    A trial that asks for too much memory is told and has no score.
    """
    used = 0

    def area(trial: optuna.Trial) -> float:
        nonlocal used
        settings = suggested(trial, trees)
        trial.set_user_attr("settings", settings)
        scores: list[float] = []
        folds = rows.scores(settings, seed)
        for fold in range(FOLDS):
            used += 1
            scores.append(next(folds))
            trial.report(float(np.mean(scores)), fold)
            # Asked after the last fold too, it would throw away the score of a finished trial.
            if fold < FOLDS - 1 and trial.should_prune():
                raise optuna.TrialPruned
        return float(np.mean(scores))

    def after(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        ended = "memory" if trial.state.name == "FAIL" else trial.state.name.lower()
        score = trial.value if ended == "complete" else None
        tell(Trial(trial.user_attrs["settings"], score, used, ended))
        if used >= fits:
            study.stop()

    with quiet():
        samplers = {
            "random": RandomSampler(seed=seed),
            # Grouped: settings that only one learner has are drawn together. Its first trials are
            # random: with the same seed they would be those of the random search.
            "tpe": TPESampler(seed=seed + 1, multivariate=True, group=True),
        }
        pruner = MedianPruner(n_startup_trials=5) if prune else NopPruner()
        study = optuna.create_study(direction="maximize", sampler=samplers[sampler], pruner=pruner)
        study.optimize(area, callbacks=[after], catch=(MemoryError,))


def flaml(tell: Journal, *, fits: int, rows: Rows, seed: int) -> None:
    """FLAML (Wang et al. 2021) on the same folds; it chooses learner and settings, on all columns.

    By itself it asks next for the learner that promises most a second, which no two runs measure
    alike. In turn, with a number of trials and no clock, its trials come out equal.
    """
    scores: list[float] = []
    used = 0

    def metric(held: Any, truths: Any, estimator: Any, *_: Any) -> tuple[float, dict[str, float]]:
        """FLAML calls this after each fit; what was fitted is told in scikit-learn's own terms."""
        nonlocal used
        used += 1
        score = float(roc_auc_score(truths, estimator.predict_proba(held)[:, 1]))
        scores.append(score)
        if used % FOLDS == 0:
            settings = extracted(estimator.estimator)
            tell(Trial(settings, float(np.mean(scores[-FOLDS:])), used, "complete"))
        return 1 - score, {"area": score}

    with quiet():
        _without_spark()().fit(
            rows.numbers,
            rows.defaulted.astype(int),
            task="classification",
            metric=metric,
            estimator_list=list(LIBRARIES),
            learner_selector="roundrobin",
            eval_method="cv",
            n_splits=FOLDS,
            split_type=rows.folds(seed),
            max_iter=fits // FOLDS,
            time_budget=-1,
            sample=False,
            retrain_full=False,
            n_jobs=1,
            seed=seed,
            verbose=0,
            mlflow_logging=False,
        )


def extracted(estimator: Any) -> Settings:
    """What `space.pipeline` makes the same estimator of, out of FLAML's wrapper."""
    names = {kind: name for name, (kind, _) in ESTIMATORS.items()}
    given = {
        name: value
        for name, value in estimator.get_params().items()
        # Not-a-number is XGBoost's own value of what is missing.
        if value is not None and value == value
    }
    learner = {"learner": names[type(estimator)]}
    return {**given, **learner, "columns": "with_ratios", "percent_kept": 100}


def _without_spark() -> Any:
    """FLAML's class. Where pyspark is installed its import starts a Java machine: it is hidden."""
    held = sys.modules.pop("pyspark", None)
    sys.modules["pyspark"] = None  # type: ignore[assignment]
    try:
        from flaml import AutoML  # type: ignore[attr-defined]
    finally:
        del sys.modules["pyspark"]
        if held is not None:
            sys.modules["pyspark"] = held
    return AutoML
