"""The base of the tables of any size that are read in batches.

An empty CSV cell and a null in any format mean "unknown": the record is built without that field.
"""

import typing
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError
from pydantic_core import to_json

from services.predict.batch.annotations import byte_limits
from services.predict.batch.batch_size import BATCH_ROWS, BatchSize
from services.predict.batch.file_names import FileNames, NoContent
from services.predict.batch.formats import BadTable
from slipway.contract.record import Record
from slipway.media import media_fields

LONGEST_REASON = 1000
# A column that holds JSON text until it is converted to the target format.
JSON_TYPE = pa.field("", pa.string(), metadata={"slipway": "json"})
FILE = "file"
"""The column with the names of the files, if the rows come from a folder or an archive."""


@dataclass(frozen=True)
class RowError:
    """A row without a prediction, and the reason."""

    reason: str


@dataclass(frozen=True)
class Batch:
    """Consecutive rows, all of one part."""

    first: int
    """The number of the first row, from 0."""
    records: list[Record | RowError]
    kept: list[Any]
    """One Arrow array (rows,) per kept column."""
    position: int
    """Bytes of the file read so far."""


def reason(error: ValidationError) -> str:
    """Return the validation errors as one line of `field: message`."""
    messages = []
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        place = ".".join(map(str, each["loc"])) or "row"
        messages.append(f"{place}: {each['msg'].removeprefix('Value error, ')}")
    return "; ".join(messages)[:LONGEST_REASON]


class Table(ABC):
    """Rows to score. The columns in `keep` are copied to the results.

    With `names`, cells of bytes may name files; the results begin with the column `file`.
    """

    def __init__(
        self,
        file: Path,
        *,
        record: type[Record],
        keep: Sequence[str],
        names: FileNames | None = None,
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        self.file, self.record, self.keep = file, record, list(keep)
        self.names, self._batch_rows = names, batch_rows
        self.bytes = file.stat().st_size
        self._media, self._limits = media_fields(record), byte_limits(record)
        fields = record.model_fields
        # Required fields that accept None: for these a null is passed to the record.
        self._nullable = {
            name
            for name, field in fields.items()
            if field.is_required() and type(None) in typing.get_args(field.annotation)
        }
        self._check(self._columns())
        self.shows_file = names is not None and FILE not in self.keep

    @abstractmethod
    def batches(self, *, start: int, every: int) -> Iterator[Batch]:
        """Yield the rows from `start` on; no batch crosses a multiple of `every` rows.

        Raises:
            BadTable: the file is damaged from some position on.
        """

    def kept(self) -> list[Any]:
        """Return the Arrow fields of the columns to keep, after that of the file's name."""
        file = [pa.field(FILE, pa.string())] if self.shows_file else []
        return [*file, *self._kept_fields()]

    @abstractmethod
    def _kept_fields(self) -> list[Any]: ...

    @abstractmethod
    def _columns(self) -> list[str]: ...

    def _size(self) -> BatchSize:
        return BatchSize(self._media, self._batch_rows)

    def _with_files(self, files: list[str | None], kept: list[Any]) -> list[Any]:
        return [pa.array(files, pa.string()), *kept] if self.shows_file else kept

    def _check(self, columns: list[str]) -> None:
        fields = self.record.model_fields
        doubled = sorted({name for name in columns if columns.count(name) > 1})
        if doubled:
            self._fail(f"duplicate columns: {', '.join(doubled)}")
        if len(set(self.keep)) < len(self.keep):
            self._fail("keep: a column is named twice")
        absent = [name for name in self.keep if name not in columns]
        if absent:
            self._fail(f"keep: no such columns: {', '.join(absent)}")
        unknown = [name for name in columns if name not in fields and name not in self.keep]
        if unknown:
            self._fail(
                f"columns that are not inputs of the model: {', '.join(map(repr, unknown))}; "
                f"name them in keep, or remove them. The inputs are {', '.join(fields)}"
            )
        self._check_missing(columns)

    def _check_missing(self, columns: list[str]) -> None:
        if missing := self._missing(columns):
            self._fail(f"columns that the model needs are missing: {', '.join(missing)}")

    def _missing(self, columns: list[str]) -> list[str]:
        fields = self.record.model_fields
        return [name for name, each in fields.items() if each.is_required() and name not in columns]

    def _fail(self, reason: str) -> typing.NoReturn:
        raise BadTable(f"{self.file.name}: {reason}")

    def _fields(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the cells that become fields of the record."""
        fields = self.record.model_fields
        return {
            name: value
            for name, value in row.items()
            if (name in fields or name not in self.keep)
            and (value is not None or name in self._nullable)
        }

    def _from_json(self, row: dict[str, Any]) -> Record | RowError:
        """Build a record; strings become numbers and base64 becomes bytes, as in a request."""
        fields = self._fields(row)
        try:
            if self.names:
                fields = self.names.as_base64(fields)
            return self.record.model_validate_json(to_json(fields))
        except NoContent as error:
            return RowError(str(error)[:LONGEST_REASON])
        except ValidationError as error:
            return RowError(reason(error))
