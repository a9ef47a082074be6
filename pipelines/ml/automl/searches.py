"""The searches: a manual list, random search, Optuna's TPE with and without pruning, and FLAML.

Each may use the same number of fits. A budget in trials would make pruning useless; a budget in
seconds would make runs irreproducible.
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
# FLAML's learner names and ours. Its linear learner is left out: it gets unscaled numbers, takes
# ten times as long as the others and reaches an area of 0.64, for a quarter of the fits.
LIBRARIES = {"lgbm": "lightgbm", "xgboost": "xgboost", "extra_tree": "extra_trees"}


@dataclass(frozen=True)
class Rows:
    """Numbers (rows, 39) and labels, whether each row defaulted (rows,)."""

    numbers: np.ndarray
    defaulted: np.ndarray

    def folds(self, seed: int) -> StratifiedKFold:
        return StratifiedKFold(FOLDS, shuffle=True, random_state=seed)

    def scores(self, settings: Settings, seed: int) -> Iterator[float]:
        """Yield the area under the ROC curve on each fold; each costs one fit when consumed."""
        for learn, held in self.folds(seed).split(self.numbers, self.defaulted):
            fitted = pipeline(settings, seed).fit(self.numbers[learn], self.defaulted[learn])
            y_prob = fitted.predict_proba(self.numbers[held])[:, 1]
            yield float(roc_auc_score(self.defaulted[held], y_prob))


@contextmanager
def quiet() -> Iterator[None]:
    """Use one thread, since two searches run at once, and silence warnings.

    scikit-learn warns of a network's few epochs, which are intended.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def manual(record: Journal, *, fits: int, rows: Rows, seed: int, settings: list[Settings]) -> None:
    """Try `settings`, a list written by somebody who knows the learners, in order."""
    with quiet():
        for number, each in enumerate(settings[: fits // FOLDS], 1):
            score = float(np.mean(list(rows.scores(each, seed))))
            record(Trial(each, score, number * FOLDS, "complete"))


def optimise(
    record: Journal, *, fits: int, rows: Rows, seed: int, sampler: str, prune: bool, trees: int
) -> None:
    """Run Optuna over `space.suggested`; `sampler` is random or tpe (Bergstra et al. 2011).

    With `prune`, a trial is pruned if its mean over the folds so far is below the median of the
    trials before it. A trial that needs too much memory is recorded without a score.
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
            # Not after the last fold: pruning there would discard the score of a finished trial.
            if fold < FOLDS - 1 and trial.should_prune():
                raise optuna.TrialPruned
        return float(np.mean(scores))

    def after(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        ended = "memory" if trial.state.name == "FAIL" else trial.state.name.lower()
        score = trial.value if ended == "complete" else None
        record(Trial(trial.user_attrs["settings"], score, used, ended))
        if used >= fits:
            study.stop()

    with quiet():
        samplers = {
            "random": RandomSampler(seed=seed),
            # Grouped, so that settings that only one learner has are drawn together. Another seed,
            # since its first trials are random and would equal those of the random search.
            "tpe": TPESampler(seed=seed + 1, multivariate=True, group=True),
        }
        pruner = MedianPruner(n_startup_trials=5) if prune else NopPruner()
        study = optuna.create_study(direction="maximize", sampler=samplers[sampler], pruner=pruner)
        study.optimize(area, callbacks=[after], catch=(MemoryError,))


def flaml(record: Journal, *, fits: int, rows: Rows, seed: int) -> None:
    """Run FLAML (Wang et al. 2021) on the same folds and all columns.

    By default FLAML picks the learner with the best expected gain per second, and measured seconds
    differ between runs. Here learners take turns for a fixed number of trials, which is
    reproducible.
    """
    scores: list[float] = []
    used = 0

    def metric(held: Any, y_true: Any, estimator: Any, *_: Any) -> tuple[float, dict[str, float]]:
        """Score a fit for FLAML, and record a trial after its last fold."""
        nonlocal used
        used += 1
        score = float(roc_auc_score(y_true, estimator.predict_proba(held)[:, 1]))
        scores.append(score)
        if used % FOLDS == 0:
            settings = extracted(estimator.estimator)
            record(Trial(settings, float(np.mean(scores[-FOLDS:])), used, "complete"))
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
    """Return the settings from which `space.pipeline` makes FLAML's estimator."""
    names = {kind: name for name, (kind, _) in ESTIMATORS.items()}
    given = {
        name: value
        for name, value in estimator.get_params().items()
        # Without XGBoost's `missing`, which is NaN.
        if value is not None and value == value
    }
    learner = {"learner": names[type(estimator)]}
    return {**given, **learner, "columns": "with_ratios", "percent_kept": 100}


def _without_spark() -> Any:
    """Import FLAML's class with pyspark hidden, since FLAML starts a Java process with it.

    FLAML 2.7 has no option or variable against it: it imports pyspark wherever it is installed, and
    does without only after an ImportError. Python documents None in `sys.modules` as the way to
    cause that for one module.
    """
    held = sys.modules.pop("pyspark", None)
    sys.modules["pyspark"] = None  # type: ignore[assignment]
    try:
        from flaml import AutoML  # type: ignore[attr-defined]
    finally:
        del sys.modules["pyspark"]
        if held is not None:
            sys.modules["pyspark"] = held
    return AutoML
