"""The labelled rows that `prepare` wrote."""

from typing import Any

from slipway.training import examples
from slipway.training.examples import Examples
from slipway.training.workspace import Workspace

REQUIRED = ("train", "test")


def read_split(work: Workspace, name: str) -> Examples[Any, Any]:
    """Read the split `name` (`train`, `test`), every record validated.

    Raises:
        FileNotFoundError: `prepare` did not run in this workspace.
    """
    return examples.read(work.data / f"{name}.parquet", work.project.model().input_type())
