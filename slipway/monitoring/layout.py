"""The columns in which rows of a project are compared, learnt from its reference."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from slipway.monitoring import derived
from slipway.monitoring.values import category, number

if TYPE_CHECKING:
    import pandas as pd

Source = Literal["record", "answer"]
Kind = Literal["number", "category", "text", "picture", "numbers"]
Values = dict[str, float | str | None]

ANSWER = "answer."
# Texts of which more than half differ name things, or are prose: as categories each would be new.
DISTINCT_SHARE, DISTINCT_LEAST = 0.5, 10
MOST_CATEGORIES = 200
LONG_TEXT = 60


@dataclass(frozen=True)
class Field:
    """A field of the record or of the answer, and how its values are read."""

    source: Source
    name: str
    kind: Kind

    @property
    def label(self) -> str:
        return self.name if self.source == "record" else ANSWER + self.name

    @property
    def columns(self) -> list[str]:
        """One of its own, or one for each number that stands for it."""
        derive = derived.DERIVE.get(self.kind)
        return [self.label] if derive is None else [f"{self.label}:{part}" for part in derive(None)]

    @property
    def numeric(self) -> bool:
        return self.kind != "category"


@dataclass(frozen=True)
class Layout:
    fields: tuple[Field, ...]
    defaults: dict[str, Any]
    """Of the record's fields that a caller may leave out."""
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
        """From rows of `record` and `answer`; at most `limit` columns, the answer's first."""
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
        """By column."""
        return {column: field.numeric for field in self.fields for column in field.columns}

    def values(self, record: dict[str, Any], answer: dict[str, Any]) -> Values:
        """A row by column, None where it is missing or cannot be read."""
        found: Values = {}
        for field in self.fields:
            if field.source == "answer":
                value = answer.get(field.name)
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
        """One column each: float64 with not-a-number, or text with None, for what is missing."""
        import pandas as pd

        held = list(rows)
        return pd.DataFrame(
            {
                column: pd.Series(
                    [row.get(column) for row in held], dtype="float64" if numeric else "object"
                )
                for column, numeric in self.numeric.items()
            }
        )


def _names(rows: list[dict[str, Any]]) -> list[str]:
    """In the order in which they first stand."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _kind(values: list[Any]) -> Kind | None:
    """None for objects, which are not compared."""
    known = [value for value in values if value is not None]
    if any(isinstance(value, dict) for value in known):
        return None
    if any(isinstance(value, list) for value in known):
        return "numbers" if _all_numbers(known) else None
    if known and all(type(value) in (int, float) for value in known):
        return "number"
    if known and all(isinstance(value, str) for value in known):
        return _kind_of_texts(known)
    return "category"


def _all_numbers(known: list[Any]) -> bool:
    return all(
        isinstance(value, list) and all(type(each) in (int, float) for each in value)
        for value in known
    )


def _kind_of_texts(known: list[str]) -> Kind:
    if all(derived.is_picture(value) for value in known[:20]):
        return "picture"
    distinct = len(set(known))
    differ = distinct >= DISTINCT_LEAST and distinct > DISTINCT_SHARE * len(known)
    long = sum(map(len, known)) > LONG_TEXT * len(known)
    return "text" if differ or long or distinct > MOST_CATEGORIES else "category"
