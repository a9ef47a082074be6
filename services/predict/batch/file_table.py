"""A row for each file of a folder or an archive."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from services.predict.batch.annotations import holds_byte_list
from services.predict.batch.file_names import FileNames, NoContent
from services.predict.batch.formats import BadTable
from services.predict.batch.media_files import MediaFiles
from services.predict.batch.tables import LONGEST_REASON, Batch, RowError, Table, reason
from services.predict.form_fields import FormFields
from slipway.contract.record import Record


class FileTable(Table):
    """The files, each of which is the record's single field of bytes."""

    def __init__(
        self,
        file: Path,
        *,
        record: type[Record],
        keep: Sequence[str],
        files: MediaFiles,
        batch_rows: int,
    ) -> None:
        field = FormFields(record.model_json_schema()).media
        if field is None:
            raise BadTable(
                f"{file.name}: {record.__name__} has no single field of bytes; add a table (.csv, "
                ".jsonl or .parquet) that names the files of each row"
            )
        self._field = field
        self._is_list = holds_byte_list(record.model_fields[field].annotation)
        self._sizes = files.sizes
        names = FileNames(files, record)
        super().__init__(file, record=record, keep=keep, names=names, batch_rows=batch_rows)
        self.bytes = sum(files.sizes.values())

    def batches(self, *, start: int, every: int) -> Iterator[Batch]:
        size, records, paths = self._size(), list[Record | RowError](), list[str | None]()
        first, position = start, 0
        for number, path in enumerate(self._sizes):
            position += self._sizes[path]
            if number < start:
                continue
            records.append(self._record(path))
            paths.append(path)
            size.add(records[-1], self._sizes[path])
            if size.full or (number + 1) % every == 0:
                yield Batch(first, records, self._with_files(paths, []), position)
                size.clear()
                records, paths, first = [], [], number + 1
        if records:
            yield Batch(first, records, self._with_files(paths, []), position)

    def _record(self, path: str) -> Record | RowError:
        names = self.names
        assert names is not None
        names.clear()
        try:
            content = names.content(self._field, path)
            value = [content] if self._is_list else content
            return self.record.model_validate({self._field: value})
        except NoContent as error:
            return RowError(str(error)[:LONGEST_REASON])
        except ValidationError as error:
            return RowError(reason(error))

    def _kept_fields(self) -> list[Any]:
        return []

    def _columns(self) -> list[str]:
        return [self._field]

    def _check_missing(self, columns: list[str]) -> None:
        if missing := self._missing(columns):
            self._fail(
                f"the model also needs {', '.join(missing)}: add a table (.csv, .jsonl or "
                f".parquet) with these columns, whose column {self._field} names the files"
            )
