"""The columns by which rows of a project are compared, learnt from its reference."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from services.monitor import derived, derived_objects
from slipway.predictions.facts import is_cut_list, is_cut_text, is_media
from slipway.quality.values import category, number

if TYPE_CHECKING:
    import pandas as pd

Source = Literal["record", "prediction", "features"]
Kind = Literal[
    "number",
    "category",
    "text",
    "picture",
    "numbers",
    "sound",
    "video",
    "document",
    "mask",
    "boxes",
    "objects",
]
Values = dict[str, float | str | None]

PREDICTION = "prediction."
"""The prefix of the prediction's columns."""
FEATURE = "feature."
"""The prefix of the columns of the model's monitoring features."""
PREFIXES: dict[Source, str] = {"prediction": PREDICTION, "features": FEATURE, "record": ""}
# Strings of which more than half are distinct are names or prose: most would be new categories.
DISTINCT_SHARE, DISTINCT_LEAST = 0.5, 10
MOST_CATEGORIES = 200
LONG_TEXT = 60


@dataclass(frozen=True)
class Field:
    """A field of the record or of the prediction, or a feature, and how its values are read."""

    source: Source
    name: str
    kind: Kind
    labels: tuple[str, ...] = ()
    """The labels of boxes that are counted."""

    @property
    def label(self) -> str:
        return PREFIXES[self.source] + self.name

    @property
    def columns(self) -> list[str]:
        """The field's own column, or one for each numeric feature that represents it."""
        return list(self.values(None))

    @property
    def numeric(self) -> bool:
        return self.kind != "category"

    def values(self, value: Any) -> Values:
        """Return what the field's columns hold for a value."""
        if self.kind == "number":
            return {self.label: number(value)}
        if self.kind == "category":
            return {self.label: category(value)}
        if self.kind == "boxes":
            parts = derived_objects.box_features(value, self.labels)
        else:
            parts = derived.DERIVE[self.kind](value)
        return {f"{self.label}:{part}": each for part, each in parts.items()}


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
        """Learn the columns from rows of `record`, `prediction` and perhaps `features`.

        There are at most `limit` columns, those of the prediction first, then the features.
        """
        defaults = defaults or {}
        fields: list[Field] = []
        left_out: list[str] = []
        columns = 0
        for source in PREFIXES:
            rows = [row[source] for row in reference if isinstance(row.get(source), dict)]
            for name in _names(rows):
                values = [row.get(name) for row in rows]
                kind: Kind | None = "number" if source == "features" else _kind(values)
                labels = derived_objects.frequent_labels(values) if kind == "boxes" else ()
                field = Field(source, name, kind or "category", labels)
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

    def values(
        self,
        record: dict[str, Any],
        prediction: dict[str, Any],
        features: dict[str, Any] | None = None,
    ) -> Values:
        """Return a row by column, None where a value is missing or cannot be read."""
        rows: dict[Source, dict[str, Any]] = {
            "record": {**self.defaults, **record},
            "prediction": prediction,
            "features": features or {},
        }
        found: Values = {}
        for field in self.fields:
            found.update(field.values(rows[field.source].get(field.name)))
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
    media = [value for value in known if is_media(value)]
    if media:
        return cast(Kind, derived.media_kind(media[0]))
    if any(isinstance(value, list) or is_cut_list(value) for value in known):
        return _list_kind(
            [each for value in known for each in derived_objects.objects(value)[0] or ()]
        )
    if any(is_cut_text(value) for value in known):
        return "text"
    if any(isinstance(value, dict) for value in known):
        return "mask" if all(map(derived_objects.is_mask, known)) else None
    if known and all(type(value) in (int, float) for value in known):
        return "number"
    if known and all(isinstance(value, str) for value in known):
        return _text_kind(known)
    return "category"


def _list_kind(items: list[Any]) -> Kind:
    """Return the kind of lists that have these items."""
    if items and all(map(derived_objects.is_box, items)):
        return "boxes"
    return "numbers" if all(type(each) in (int, float) for each in items) else "objects"


def _text_kind(known: list[str]) -> Kind:
    if all(derived.is_picture(value) for value in known[:20]):
        return "picture"
    distinct = len(set(known))
    differ = distinct >= DISTINCT_LEAST and distinct > DISTINCT_SHARE * len(known)
    long = sum(map(len, known)) > LONG_TEXT * len(known)
    return "text" if differ or long or distinct > MOST_CATEGORIES else "category"
