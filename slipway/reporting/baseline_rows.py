"""The rows of a project, for the test metrics of a baseline that is fitted or needs records."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from slipway.datasets import Dataset
from slipway.project import Project
from slipway.training.labelled_rows import LabelledRows

Splits = Callable[..., Mapping[str, Iterable[tuple[Any, Any]]]]


def train_and_test_rows(
    report: str, splits: Splits, dataset: Dataset, labels: Sequence[Any]
) -> tuple[LabelledRows[Any, Any], LabelledRows[Any, Any]]:
    """Return the training rows of a project, and the test rows that have these labels.

    `score` gets predictions and labels alone, so the rows are split from the data set again, with
    the parameters of `prepare` or, as in tests that train on few rows, with the changes for these.
    `report` is the `__file__` of the project's `report.py`.

    Raises:
        ValueError: the first test rows have other labels.
    """
    params, wanted = Project(Path(report).parent).params, list(labels)
    ways = [params.prepare]
    if params.tiny.prepare:
        ways.append(params.shrunk().prepare)
    for arguments in ways:
        found = splits(dataset, **arguments)
        records, known = _columns(found["test"])
        if known[: len(wanted)] == wanted:
            test = LabelledRows(records[: len(wanted)], wanted)
            return LabelledRows(*_columns(found["train"])), test
    raise ValueError(f"{report}: the labels are not those of the data set's first test rows")


def _columns(rows: Iterable[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    """Return the records and the labels of labelled rows."""
    pairs = list(rows)
    return [record for record, _ in pairs], [label for _, label in pairs]
