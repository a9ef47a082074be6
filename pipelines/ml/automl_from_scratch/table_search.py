"""Search a pipeline for a table with the Gaussian process, by cross-validation."""

import time
from contextlib import suppress

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from .columns import Table, folds_of
from .learners import LINEAR, SVM, TABLES, Task, accuracy
from .limits import Record, Trial
from .search import RANDOM_FIRST, bayesian, random_settings
from .space import Settings

# scikit-learn's default learners on scaled columns: the search begins with them, so what it finds
# is at least as good on the validation rows.
DEFAULTS: dict[str, Settings] = {
    "default_logistic": {"scale": "standard", "reduce": "none", "learner": LINEAR, "linear_C": 1.0},
    "default_svm": {"scale": "standard", "reduce": "none", "learner": SVM, "C": 1.0, "reach": 1.0},
}
# With fewer rows one validation set is too small to tell settings apart.
FOLDS, ROWS_FOR_ONE_FOLD = 4, 3000
# Rows that the trials learn from; the best of them are tried again with all rows up to the second.
FIRST_RUNG, MOST_ROWS = 2000, 20_000
LAST_RUNG = 3
# The share of the seconds for the first rung.
SEARCHING = 0.7


class OutOfTime(Exception):
    """The first rung has used up its time."""


def preparation(table: Table) -> ColumnTransformer:
    """Return the step that makes numbers of a table's cells.

    A missing number becomes the median of its column, a category a column for each of its values.
    A missing category is a value of its own, and an unknown one is none of them.
    """
    border, width = len(table.numbers), table.cells.shape[1]
    steps = [
        ("numbers", make_pipeline(SimpleImputer(strategy="median")), slice(0, border)),
        (
            "categories",
            OneHotEncoder(handle_unknown="ignore", sparse_output=False),
            slice(border, width),
        ),
    ]
    return ColumnTransformer([each for each in steps if each[2].start < each[2].stop])


def validation_tasks(table: Table, rows: np.ndarray, most: int, seed: int) -> list[Task]:
    """Return the folds of `rows`; large tables have one, with at most `most` rows to learn from."""
    folds = folds_of(table, rows, FOLDS, seed)
    if len(rows) >= ROWS_FOR_ONE_FOLD:
        folds = folds[:1]
    return [
        Task("fold", *((table.cells[part], table.labels[part]) for part in (learn[:most], held)))
        for learn, held in ((shuffled(learn, seed), held) for learn, held in folds)
    ]


def shuffled(rows: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(rows)


def search(
    record: Record, *, table: Table, rows: np.ndarray, trials: int, seconds: float, seed: int
) -> None:
    """Try the defaults, random settings and those with the highest expected improvement.

    Settings beyond the memory limit are recorded without a score, and get the worst one for the
    Gaussian process. After `trials` or most of the `seconds`, the best settings of a large table
    are tried again with more rows.
    """
    end = time.monotonic() + SEARCHING * seconds
    first = [("prepared", preparation(table))]
    done: list[Trial] = []

    def tried(settings: Settings, tasks: list[Task]) -> float:
        score: float | None
        try:
            score = float(np.mean([accuracy(settings, each, seed, first) for each in tasks]))
        except MemoryError:
            score = None
        done.append(Trial(settings, score, len(tasks[0].learn[1])))
        record(done[-1])
        return 0.0 if score is None else score

    small = validation_tasks(table, rows, FIRST_RUNG, seed)

    def objective(settings: Settings) -> float:
        if time.monotonic() > end:
            raise OutOfTime
        return tried(settings, small)

    starts = [*DEFAULTS.values(), *random_settings(TABLES, RANDOM_FIRST - len(DEFAULTS), seed)]
    with suppress(OutOfTime):
        bayesian(TABLES, objective, trials=trials, seed=seed, starts=starts)
    large = validation_tasks(table, rows, MOST_ROWS, seed)
    if len(large[0].learn[1]) > len(small[0].learn[1]):
        for each in best_trials(done)[:LAST_RUNG]:
            tried(each.settings, large)


def best_trials(trials: list[Trial]) -> list[Trial]:
    """Return the trials with a score that learned from the most rows, the best first."""
    scored = [each for each in trials if each.score is not None]
    most = max((each.rows for each in scored), default=0)
    return sorted(
        (each for each in scored if each.rows == most), key=lambda each: -(each.score or 0.0)
    )
