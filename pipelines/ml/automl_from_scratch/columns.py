"""Read anyone's table: find its numbers and categories, and the column of labels."""

import csv
import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

FEWEST_ROWS = 50
# A label that occurs less often cannot be in every part of a split.
FEWEST_OF_A_LABEL = 6
MOST_LABELS = 50
# A text column with more values is a name, an identifier or free text, and is left out.
MOST_VALUES = 50
# One part in five is held out for the end.
PARTS = 5


class TableError(Exception):
    """A table that cannot be used; the message says what to change."""


@dataclass(frozen=True)
class Table:
    """The columns of a table in blocks, and its labels.

    `cells` (rows, columns) has the numbers first, NaN where one is missing, then the categories,
    an empty text where one is missing.
    """

    numbers: list[str]
    categories: list[str]
    left_out: dict[str, str]
    """Columns that are not used, each with the reason."""
    cells: np.ndarray
    labels: np.ndarray
    unlabelled: int
    """Rows without a label, which are left out."""

    def blocks(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the inputs of the ONNX graph for some rows; a block without columns is left out"""
        border = len(self.numbers)
        return {
            name: self.cells[rows, part].astype(kind)
            for name, part, kind in (
                ("numbers", slice(0, border), np.float32),
                ("categories", slice(border, None), object),
            )
            if self.cells[:0, part].shape[1]
        }


def read_table(file: Path, target: str) -> Table:
    """Return the table in a CSV file with a header line, also a compressed one.

    Raises:
        TableError: the file is no such table, or the column `target` cannot be learned.
    """
    frame = read_csv(file)
    if target not in frame.columns:
        near = difflib.get_close_matches(target, map(str, frame.columns), 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise TableError(
            f"{file}: no column {target!r}.{hint} It has {', '.join(map(str, frame.columns))}"
        )
    labelled = frame[frame[target].notna()]
    labels = label_texts(labelled[target])
    check_labels(file, target, labels)
    numbers: dict[str, pd.Series] = {}
    categories: dict[str, pd.Series] = {}
    left_out: dict[str, str] = {}
    for name, values in labelled.drop(columns=target).items():
        reason = useless(values)
        if reason:
            left_out[str(name)] = reason
        elif is_number(values):
            numbers[str(name)] = values.astype(float)
        else:
            categories[str(name)] = values.map(str, na_action="ignore").fillna("")
    if not numbers and not categories:
        raise TableError(f"{file}: no column beside {target!r} can be used: {left_out}")
    blocks = [*numbers.values(), *categories.values()]
    cells = np.column_stack([each.to_numpy(dtype=object) for each in blocks])
    unlabelled = len(frame) - len(labelled)
    return Table(list(numbers), list(categories), left_out, cells, labels, unlabelled)


def read_csv(file: Path) -> pd.DataFrame:
    """Return the raw table; the separator is a comma, semicolon, tab or bar.

    Raises:
        TableError: the file is missing, no text, or no table with at least two columns.
    """
    if not file.is_file():
        raise TableError(f"{file}: there is no such file")
    try:
        head = pd.read_csv(file, nrows=20, header=None, sep="\x01", dtype=str)
        sample = "\n".join(head[0].dropna())
        separator = csv.Sniffer().sniff(sample, ",;\t|").delimiter
        frame = pd.read_csv(file, sep=separator, skipinitialspace=True, low_memory=False)
    except (OSError, ValueError, csv.Error) as error:
        raise TableError(
            f"{file}: not a CSV file with a header line and columns separated by commas, "
            f"semicolons, tabs or bars ({error})"
        ) from error
    if frame.shape[1] < 2 or any("\x00" in str(name) for name in frame.columns):
        raise TableError(f"{file}: not a CSV file with at least two columns")
    if frame.empty:
        raise TableError(f"{file}: no rows below its header")
    return frame


def label_texts(values: pd.Series) -> np.ndarray:
    """Return labels as texts; whole numbers lose their decimals, which missing labels add."""
    if is_number(values) and (values == values.round()).all():
        values = values.astype("int64")
    return values.astype(str).to_numpy(dtype=object)


def check_labels(file: Path, target: str, labels: np.ndarray) -> None:
    """Refuse labels that cannot be learned and tested.

    Raises:
        TableError: too few rows, one label alone, too many labels, or a very rare one.
    """
    if len(labels) < FEWEST_ROWS:
        raise TableError(
            f"{file}: {len(labels)} rows have a value in {target!r}; at least {FEWEST_ROWS} must"
        )
    values, counts = np.unique(labels.astype(str), return_counts=True)
    names = values.tolist()
    if len(names) < 2:
        raise TableError(f"{file}: {target!r} is {names[0]!r} in every row: nothing to learn")
    if len(names) > MOST_LABELS:
        raise TableError(
            f"{file}: {target!r} has {len(names)} values, more than {MOST_LABELS}: this command "
            "learns classes. Put numbers into a few ranges first"
        )
    rarest = int(counts.argmin())
    if counts[rarest] < FEWEST_OF_A_LABEL:
        raise TableError(
            f"{file}: {target!r} is {names[rarest]!r} in {counts[rarest]} rows; each label needs "
            f"{FEWEST_OF_A_LABEL}. Remove these rows, or merge the label with another one"
        )


def is_number(values: pd.Series) -> bool:
    """Return whether a column holds numbers; true and false are categories."""
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def useless(values: pd.Series) -> str:
    """Return the reason to leave a column out, or an empty text."""
    found = values.nunique()
    if found == 0:
        return "empty"
    if found == 1 and not values.isna().any():
        return "the same value in every row"
    if not is_number(values) and found > MOST_VALUES:
        return f"text with {found} different values"
    if is_number(values) and not values.isna().any() and (values.diff()[1:] == 1).all():
        return "a row number"
    return ""


def held_out(table: Table, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of rows to learn from, and of a fifth that is held out."""
    return folds_of(table, np.arange(len(table.labels)), PARTS, seed)[0]


def folds_of(
    table: Table, rows: np.ndarray, folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the folds of some rows: indices to learn from, and of the others.

    Labels have about the same shares in all of them. Rows with equal cells stay together: one of
    them in each part would be a leak.
    """
    cells = pd.DataFrame(table.cells[rows])
    groups = cells.groupby(list(cells.columns), dropna=False, sort=False).ngroup().to_numpy()
    splitter: Any = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    parts = splitter.split(rows, table.labels[rows].astype(str), groups)
    return [(rows[learn], rows[rest]) for learn, rest in parts]
