"""How a data set becomes an offline table: a module each, found by the table's name.

A module gives `DATASET`, its name in the catalogue, `KEY`, the join key's column, `SCHEMA` and
`rows(dataset)`: batches of the table in which no row depends on an event at or after its
`event_timestamp`. All rows of a key come in one batch, in the order of time.
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
class Table:
    """One offline table."""

    name: str
    dataset: str
    key: str
    schema: "pa.Schema"
    rows: "Callable[[Dataset], Iterator[pa.Table]]"
    code: Path

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the code that makes it."""
        import hashlib

        return hashlib.sha256(self.code.read_bytes()).hexdigest()


def names() -> list[str]:
    here = Path(__file__).parent
    return sorted(file.stem for file in here.glob("*.py") if file.stem != "__init__")


def find(name: str) -> Table:
    """The table `name`.

    Raises:
        KeyError: there is none.
    """
    if name not in names():
        raise KeyError(f"no feature table {name!r}; known: {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    return Table(
        name, module.DATASET, module.KEY, module.SCHEMA, module.rows, Path(str(module.__file__))
    )
