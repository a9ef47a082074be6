"""Logistic regression by scikit-learn from prepared flights, the same for each single machine."""

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.dataset as ds
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from ..model import FIELDS, NUMBERS, columns
from .task import BEGIN, END, STRENGTHS, TEST_FROM, VALID_FROM, Learned

BATCH = 100_000


def numbers(prepared: Path, first: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `model.columns` (rows, 22) and whether late (rows,) of the days until `end`.

    The rows are read in batches into the one array, so that there is no second copy of them.
    """
    days = (pc.field("day") >= first) & (pc.field("day") < end)
    data = ds.dataset(prepared, format="parquet")
    count, start = data.count_rows(filter=days), 0
    rows, late = np.empty((count, len(NUMBERS)), dtype=np.float32), np.empty(count, dtype=bool)
    batches = data.to_batches(
        columns=[*FIELDS, "late"],
        filter=days,
        batch_size=BATCH,
        batch_readahead=1,
        fragment_readahead=1,
    )
    for batch in batches:
        place = slice(start, start + len(batch))
        rows[place] = columns({name: batch[name].to_numpy() for name in FIELDS})
        late[place] = batch["late"].to_numpy(zero_copy_only=False)
        start += len(batch)
    return rows, late


def learn(prepared: Path) -> Learned:
    """Fit each penalty, choose on the validation days, and score the chosen on the test days."""
    rows, late = numbers(prepared, BEGIN, VALID_FROM)
    mean, scale = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
    standardize(rows, mean, scale)
    held_out, held_late = numbers(prepared, VALID_FROM, TEST_FROM)
    standardize(held_out, mean, scale)
    models, valid = {}, {}
    for strength in STRENGTHS:
        # MLlib's penalty is relative to the mean loss, and C to the sum.
        learner = LogisticRegression(C=1 / (strength * len(rows)), max_iter=500, tol=1e-6)
        models[strength] = learner.fit(rows, late)
        valid[strength] = float(roc_auc_score(held_late, learner.decision_function(held_out)))
    best = max(STRENGTHS, key=lambda each: valid[each])
    trained = len(rows)
    del rows, held_out
    test, test_late = numbers(prepared, TEST_FROM, END)
    standardize(test, mean, scale)
    return {
        "rows": trained,
        "valid_roc_auc": {f"{strength:g}": area for strength, area in valid.items()},
        "strength": best,
        "test_roc_auc": float(roc_auc_score(test_late, models[best].decision_function(test))),
    }


def standardize(rows: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> None:
    """Standardize the rows where they are; a column without spread is only centred."""
    rows -= mean.astype(np.float32)
    rows /= np.where(scale > 0, scale, 1).astype(np.float32)
