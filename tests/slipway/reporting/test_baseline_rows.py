"""Rows for the baseline: those of the labels that are scored, or an error."""

from pathlib import Path

import pytest

from slipway.datasets import Dataset
from slipway.project import find
from slipway.reporting.baseline_rows import train_and_test_rows

IRIS = find("iris_clusters")
REPORT = str(IRIS.folder / "report.py")


def rows_of(dataset: Dataset, *, seed: int, test_share: float) -> dict[str, list[tuple[str, int]]]:
    """Return splits whose rows depend on the parameters, like a project's."""
    assert dataset is DATASET
    assert (seed, test_share) == (
        IRIS.params.prepare["seed"],
        IRIS.params.prepare["test_share"],
    )
    return {"train": [("a", 1), ("b", 2)], "test": [("c", 3), ("d", 4), ("e", 5)]}


DATASET = Dataset.__new__(Dataset)


def test_the_rows_are_those_that_were_scored() -> None:
    """In tests with few rows, the labels are those of the first test rows."""
    train, test = train_and_test_rows(REPORT, rows_of, DATASET, [3, 4])
    assert (train.records, train.labels) == (["a", "b"], [1, 2])
    assert (test.records, test.labels) == (["c", "d"], [3, 4])


@pytest.mark.parametrize("labels", [[4, 3], [3, 4, 5, 6], [5]])
def test_labels_of_other_rows_are_refused(labels: list[int]) -> None:
    with pytest.raises(ValueError, match="not those of the data set's first test rows"):
        train_and_test_rows(REPORT, rows_of, DATASET, labels)


def test_the_parameters_of_small_runs_are_tried_too(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(
        "dataset: iris\nenvironment: training\nprepare: {skip: 0}\nprimary: accuracy\n"
        "gate: {accuracy: '>= 0'}\ntiny: {prepare: {skip: 2}}\n"
    )

    def skipping(dataset: Dataset, *, skip: int) -> dict[str, list[tuple[int, int]]]:
        rows = [(row, row) for row in range(skip, 9)]
        return {"train": rows[3:], "test": rows[:3]}

    for labels in ([0, 1, 2], [2, 3]):
        _, test = train_and_test_rows(str(tmp_path / "report.py"), skipping, DATASET, labels)
        assert test.labels == test.records == labels
