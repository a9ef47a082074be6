"""The columns by which rows of a project are compared, learnt from its reference."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from services.monitor import derived
from slipway.quality.values import category, number

if TYPE_CHECKING:
    import pandas as pd

Source = Literal["record", "answer"]
Kind = Literal["number", "category", "text", "picture", "numbers"]
Values = dict[str, float | str | None]

PREDICTION = "answer."
"""The prefix of the prediction's columns."""
# Strings of which more than half are distinct are names or prose: most would be new categories.
DISTINCT_SHARE, DISTINCT_LEAST = 0.5, 10
MOST_CATEGORIES = 200
LONG_TEXT = 60


@dataclass(frozen=True)
class Field:
    """A field of the record or of the prediction, and how its values are read."""

    source: Source
    name: str
    kind: Kind

    @property
    def label(self) -> str:
        return self.name if self.source == "record" else PREDICTION + self.name

    @property
    def columns(self) -> list[str]:
        """The field's own column, or one for each numeric feature that represents it."""
        derive = derived.DERIVE.get(self.kind)
        return [self.label] if derive is None else [f"{self.label}:{part}" for part in derive(None)]

    @property
    def numeric(self) -> bool:
        return self.kind != "category"


@dataclass(frozen=True)
class Layout:
    """The compared fields of a project, and the columns of their tables."""

    fields: tuple[Field, ...]
    defaults: dict[str, Any]
    """Defaults of the record's optional fields."""
    left_out: tuple[str, ...] = ()
    """Fields that are not compared: objects, or more than the limit."""

    @classmethod
    def learn(
        cls,
        reference: Sequence[dict[str, Any]],
        *,
        defaults: dict[str, Any] | None = None,
        limit: int = 100,
    ) -> "Layout":
        """Learn the columns from rows of `record` and `answer`.

        There are at most `limit` columns, those of the prediction first.
        """
        defaults = defaults or {}
        fields: list[Field] = []
        left_out: list[str] = []
        columns = 0
        sources: tuple[Source, ...] = ("answer", "record")
        for source in sources:
            rows = [row[source] for row in reference if isinstance(row.get(source), dict)]
            for name in _names(rows):
                kind = _kind([row.get(name) for row in rows])
                field = Field(source, name, kind or "category")
                if kind is None or columns + len(field.columns) > limit:
                    left_out.append(field.label)
                    continue
                fields.append(field)
                columns += len(field.columns)
        return cls(tuple(fields), defaults, tuple(left_out))

    @property
    def numeric(self) -> dict[str, bool]:
        """True if each column is numeric."""
        return {column: field.numeric for field in self.fields for column in field.columns}

    def values(self, record: dict[str, Any], prediction: dict[str, Any]) -> Values:
        """Return a row by column, None where a value is missing or cannot be read."""
        found: Values = {}
        for field in self.fields:
            if field.source == "answer":
                value = prediction.get(field.name)
            elif field.name in record:
                value = record[field.name]
            else:
                value = self.defaults.get(field.name)
            if field.kind == "number":
                found[field.label] = number(value)
            elif field.kind == "category":
                found[field.label] = category(value)
            else:
                parts = derived.DERIVE[field.kind](value)
                found.update({f"{field.label}:{part}": each for part, each in parts.items()})
        return found

    def table(self, rows: Iterable[Values]) -> "pd.DataFrame":
        """Return a table of rows: float64 with NaN or text with None for missing values."""
        import pandas as pd

        listed = list(rows)
        return pd.DataFrame(
            {
                column: pd.Series(
                    [row.get(column) for row in listed], dtype="float64" if numeric else "object"
                )
                for column, numeric in self.numeric.items()
            }
        )


def _names(rows: list[dict[str, Any]]) -> list[str]:
    """Return the names in the order of their first occurrence."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _kind(values: list[Any]) -> Kind | None:
    """Return the kind of the values; None for objects, which are not compared."""
    known = [value for value in values if value is not None]
    if any(isinstance(value, dict) for value in known):
        return None
    if any(isinstance(value, list) for value in known):
        return "numbers" if _all_numbers(known) else None
    if known and all(type(value) in (int, float) for value in known):
        return "number"
    if known and all(isinstance(value, str) for value in known):
        return _text_kind(known)
    return "category"


def _all_numbers(known: list[Any]) -> bool:
    return all(
        isinstance(value, list) and all(type(each) in (int, float) for each in value)
        for value in known
    )


def _text_kind(known: list[str]) -> Kind:
    if all(derived.is_picture(value) for value in known[:20]):
        return "picture"
    distinct = len(set(known))
    differ = distinct >= DISTINCT_LEAST and distinct > DISTINCT_SHARE * len(known)
    long = sum(map(len, known)) > LONG_TEXT * len(known)
    return "text" if differ or long or distinct > MOST_CATEGORIES else "category"
