"""Read the labelled rows that `prepare` wrote."""

from typing import Any

from slipway.training import labelled_rows
from slipway.training.labelled_rows import LabelledRows
from slipway.training.workspace import Workspace

REQUIRED = ("train", "test")


def read_split(work: Workspace, name: str) -> LabelledRows[Any, Any]:
    """Read the split `name` (`train`, `test`) and validate every record.

    Raises:
        FileNotFoundError: `prepare` has not run in this workspace.
    """
    return labelled_rows.read(work.data / f"{name}.parquet", work.project.model().input_type())
