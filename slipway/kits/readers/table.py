"""Rows of a table as labelled records."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import pandas as pd
from sklearn.model_selection import train_test_split

from slipway.contract import Record
from slipway.training.frames import to_dicts

Sent = TypeVar("Sent", bound=Record)


def labelled_rows(
    frame: pd.DataFrame, record: type[Sent], columns: Mapping[str, str], labels: Iterable[Any]
) -> list[tuple[Sent, Any]]:
    """Return a record with its label for each row of the table.

    `columns` maps columns to fields; other columns are left out, missing values become None.
    """
    rows = to_dicts(frame[list(columns)].rename(columns=dict(columns)))
    return [(record(**row), label) for row, label in zip(rows, labels, strict=True)]


def split_table(
    frame: pd.DataFrame, test_share: float, seed: int, *, same_shares: str
) -> dict[str, pd.DataFrame]:
    """Return random `train` and `test` rows with the same shares of the column `same_shares`."""
    train, test = train_test_split(
        frame, test_size=test_share, random_state=seed, stratify=frame[same_shares]
    )
    return {"train": train, "test": test}
