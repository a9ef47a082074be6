"""Letters, and the smaller tasks for the search history; no row is repeated."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import pandera.pandas as pa
from sklearn.model_selection import train_test_split

from slipway.datasets import Dataset

from .learners import Task
from .model import LETTERS, NUMBERS, Glyph

LABEL = "letter"
SCHEMA = pa.DataFrameSchema(
    {
        LABEL: pa.Column(str, pa.Check.isin(LETTERS)),
        **{name: pa.Column(int, pa.Check.in_range(0, 15)) for name in NUMBERS},
    }
)


def splits(
    dataset: Dataset, *, seed: int, test_share: float
) -> dict[str, Iterable[tuple[Glyph, str]]]:
    """Return labelled letters by split, without 1,332 of 20,000 rows that equal another one.

    Equal rows could be in both splits.
    """
    raw = pd.read_csv(dataset.path("letter.dat"), header=None, names=[*NUMBERS, LABEL])
    frame = SCHEMA.validate(raw).drop_duplicates(list(NUMBERS))
    train, test = train_test_split(
        frame, test_size=test_share, random_state=seed, stratify=frame[LABEL]
    )
    return {"train": glyphs(train), "test": glyphs(test)}


def glyphs(frame: pd.DataFrame) -> list[tuple[Glyph, str]]:
    """Return the rows of the raw table as labelled records."""
    rows = frame[list(NUMBERS)].to_dict("records")
    return [
        (Glyph.model_validate(row), letter) for row, letter in zip(rows, frame[LABEL], strict=True)
    ]


def earlier_tasks(
    dataset: Dataset, *, names: list[str], learn: int, held: int, seed: int
) -> list[Task]:
    """Return small tasks with at most `learn` training rows and `held` held-out rows.

    The last column of a raw table is the label.
    """
    tasks = []
    for name in names:
        raw = pd.read_csv(dataset.path(f"{name}.dat"), header=None, skipinitialspace=True)
        frame = raw.drop_duplicates()
        numbers = frame.iloc[:, :-1].to_numpy(dtype=np.float64)
        labels = frame.iloc[:, -1].astype(str).str.strip().to_numpy()
        order = np.random.default_rng(seed).permutation(len(labels))
        border = min(learn, 2 * len(labels) // 3)
        parts = (order[:border], order[border : border + held])
        tasks.append(Task(name, *((numbers[part], labels[part]) for part in parts)))
    return tasks
