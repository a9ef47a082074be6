"""Offline tables: one module per table, named after it, which builds the table from a data set.

A module defines `DATASET` (the name in the catalogue), `KEY` (the join key's column), `SCHEMA` and
`rows(dataset)`, which yields batches of the table. No row may depend on an event at or after its
`event_timestamp`. All rows of a key are in one batch, sorted by time.
"""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from slipway.datasets import Dataset

TIME = "event_timestamp"


@dataclass(frozen=True)
class OfflineTable:
    """One offline table."""

    name: str
    dataset: str
    key: str
    schema: "pa.Schema"
    rows: "Callable[[Dataset], Iterator[pa.Table]]"
    code: Path

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of the module that builds the table."""
        import hashlib

        return hashlib.sha256(self.code.read_bytes()).hexdigest()


def names() -> list[str]:
    """Return the names of all tables."""
    here = Path(__file__).parent
    return sorted(file.stem for file in here.glob("*.py") if file.stem != "__init__")


def find(name: str) -> OfflineTable:
    """Return the table `name`.

    Raises:
        KeyError: there is no such table.
    """
    if name not in names():
        raise KeyError(f"no feature table {name!r}; known: {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    return OfflineTable(
        name, module.DATASET, module.KEY, module.SCHEMA, module.rows, Path(str(module.__file__))
    )
