"""Feedback as training rows: records of the prediction log joined with the labels sent later."""

import hashlib
import typing
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType, UnionType
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from slipway.contract import Model, Record
from slipway.predictions import reader
from slipway.predictions.feedback_store import FILE, FeedbackRecord, FeedbackStore

DAY = 86_400
LABELS = (bool, int, float, str)


class Unsuitable(Exception):
    """Raised when feedback cannot train this project; the message says what would be needed."""


class FeedbackUse(BaseModel):
    """The labels of POST /v1/feedback that a run trains on, besides the project's own rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: Annotated[float, Field(gt=0, le=3650)] = 30
    """The maximum age of the predictions."""
    rows: Annotated[int, Field(ge=1, le=1_000_000)] = 50_000
    """The maximum number of labels, newest first; all are in memory at once."""
    test_share: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """The share of them that goes to the test rows; a prediction is always on the same side. With 0
    the test rows stay the project's own: candidate and champion are compared on old data only."""
    label: Annotated[str, Field(pattern="^[a-z_][a-z0-9_]*$")] | None = Field(
        default=None, validation_alias=AliasChoices("label", "truth")
    )
    """The prediction field that holds the label. By default the first field of the labels' type, or
    all fields of a label that is a record and has no such field. Earlier versions wrote `truth`."""


@dataclass
class Counts:
    """The counts of labels that were used, or left out by reason; keys of the run's JSON."""

    labels: int = 0
    """All labels in the feedback."""
    used: int = 0
    """Used as training rows."""
    held_out: int = 0
    """Used as test rows."""
    revised: int = 0
    """Those of the used labels that replaced an earlier one; the last one counts."""
    conflicting: int = 0
    """The champion's and the shadow's prediction have different labels; the later one counts."""
    repeated: int = 0
    """The champion's and the shadow's prediction have equal labels."""
    no_label: int = 0
    """The feedback holds only a reward, or other fields of the prediction."""
    bad_label: int = 0
    """The label is invalid for the prediction field."""
    no_record: int = 0
    """The prediction log no longer has the prediction."""
    no_input: int = 0
    """The log has not the input itself: of long inputs it has the hash, of pictures, sound, video
    and documents facts such as their size."""
    demo: int = 0
    """The request was not a caller's own: its record has a purpose, such as `demo`."""
    bad_input: int = 0
    """The input is invalid for the project's current record type."""


@dataclass
class FeedbackRows:
    """Rows as `data.splits` yields them, ordered by time of prediction."""

    train: list[tuple[Record, Any]] = field(default_factory=list)
    test: list[tuple[Record, Any]] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    since: float | None = None
    until: float | None = None

    def about(self) -> dict[str, Any]:
        """Return the counts and the time range as JSON types."""
        return {"counts": asdict(self.counts), "since": self.since, "until": self.until}


@dataclass(frozen=True)
class Label:
    """The field of feedback that holds the label, and the label's type."""

    name: str | None
    """The prediction field that holds it; None if all of a feedback's `label` is it, a record."""
    kind: type | None
    """The type that numbers and texts are converted to; None for records."""
    check: TypeAdapter[Any]

    @classmethod
    def from_types(cls, model: Model, data: ModuleType, name: str | None) -> "Label":
        """Find the prediction field whose type is that of the labels in `data.splits`.

        A record without such a field is all of a feedback's `label` if its fields are fields of
        the prediction.

        Raises:
            Unsuitable: the prediction has no place for the labels.
        """
        kind = label_type(data)
        fields = model.output_type().model_fields
        fitting = [
            each for each, about in fields.items() if _without_none(about.annotation) == kind
        ]
        if name is None and not fitting and _is_part_of(kind, fields):
            return cls(None, None, TypeAdapter(kind))
        chosen = name or next(iter(fitting), None)
        if chosen not in fitting:
            problem = f"feedback.label: {name!r} is not a" if name else "the prediction has no"
            raise Unsuitable(
                f"{problem} field of type {_type_name(kind)}, the type of the labels in "
                f"data.splits; such fields: {', '.join(fitting) or 'none'}"
            )
        about = fields[chosen]
        parts: Any = about.annotation
        if about.metadata:
            parts = Annotated[parts, *about.metadata]
        if kind not in LABELS:
            return cls(chosen, None, TypeAdapter(parts))
        return cls(chosen, kind, TypeAdapter(parts, config=ConfigDict(strict=True)))

    def value(self, given: dict[str, Any]) -> Any:
        """Return the label's JSON value in a feedback's `label`; None if it has none."""
        return given.get(self.name) if self.name is not None else given or None

    def read(self, given: dict[str, Any]) -> Any:
        """Return the label in a feedback's `label`.

        Raises:
            pydantic.ValidationError: the value is invalid for the label's type.
        """
        value = self.value(given)
        if self.kind is None:
            # As JSON, in which bytes such as pictures are base64.
            return self.check.validate_json(_json(value))
        value = self.check.validate_python(value)
        return None if value is None else self.kind(value)


def label_type(data: ModuleType) -> Any:
    """Return the labels' type by the type hints of `data.splits`: `bool`, `float` and so on.

    Raises:
        Unsuitable: the type is not bool, int, float, str, a record or a list of records.
    """
    splits = typing.get_type_hints(data.splits).get("return")
    try:
        _, rows = typing.get_args(splits)
        (pair,) = typing.get_args(rows)
        _, label = typing.get_args(pair)
    except ValueError:
        raise Unsuitable(
            "feedback needs data.splits to be annotated as "
            f"dict[str, Iterable[tuple[a Record, a type]]], got {splits!r}"
        ) from None
    if label not in LABELS and not _is_record(label) and not _is_record_list(label):
        raise Unsuitable(
            f"the labels of data.splits are {label!r}: only "
            f"{', '.join(x.__name__ for x in LABELS)}, records and lists of records can be taken "
            "from feedback"
        )
    return label


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Record)


def _is_record_list(kind: Any) -> bool:
    return typing.get_origin(kind) is list and all(map(_is_record, typing.get_args(kind)))


def _is_part_of(kind: Any, fields: dict[str, FieldInfo]) -> bool:
    """Return whether the kind is a record of fields that the prediction has, too."""
    return _is_record(kind) and all(
        name in fields and _without_none(fields[name].annotation) == _without_none(about.annotation)
        for name, about in kind.model_fields.items()
    )


def _type_name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _without_none(annotation: Any) -> Any:
    """Return `float` for `float | None`."""
    if typing.get_origin(annotation) not in (typing.Union, UnionType):
        return annotation
    parts = [each for each in typing.get_args(annotation) if each is not type(None)]
    return parts[0] if len(parts) == 1 else annotation


def collect(
    folder: Path, project: str, model: Model, label: Label, use: FeedbackUse, *, now: float
) -> FeedbackRows:
    """Return the labels for `project` in the prediction log `folder`, joined with the inputs.

    Each input row of a prediction gives one row: a label that was corrected counts once, with its
    last value, and so does one that came for both the champion's and the shadow's prediction. Rows
    are in the order of the predictions, so that the same feedback gives the same bytes.
    """
    found = FeedbackRows()
    since = now - use.days * DAY
    feedback = _feedback(folder, project, since, use.rows)
    found.counts.labels = len(feedback)
    if not feedback:
        return found
    found.since, found.until = feedback[0].predicted, feedback[-1].predicted
    rows = _joined(folder, project, feedback, found.counts)
    record = model.input_type()
    for key, (given, inputs) in sorted(rows.items(), key=lambda each: (each[1][0].predicted, each)):
        pair = _pair(given, inputs, record, label, found.counts)
        if pair is None:
            continue
        found.counts.revised += given.revision > 1
        if held_out(*key, share=use.test_share):
            found.test.append(pair)
        else:
            found.train.append(pair)
    found.counts.used, found.counts.held_out = len(found.train), len(found.test)
    return found


def _feedback(folder: Path, project: str, since: float, limit: int) -> list[FeedbackRecord]:
    if not (folder / FILE).is_file():
        return []
    store = FeedbackStore(folder)
    try:
        return store.current_feedback(project, since=since, limit=limit)
    finally:
        store.close()


def _joined(
    folder: Path, project: str, feedback: list[FeedbackRecord], counts: Counts
) -> dict[tuple[str, int], tuple[FeedbackRecord, Any]]:
    """Return the last feedback and the input by the caller's prediction id and row number."""
    by_id: dict[str, list[FeedbackRecord]] = {}
    for each in feedback:
        by_id.setdefault(each.id, []).append(each)
    rows: dict[tuple[str, int], tuple[FeedbackRecord, Any]] = {}
    # Also of the shadow's predictions, which are found by the id of what the caller got.
    demo: set[str] = set()
    joined = 0
    # The log's times are rounded to milliseconds.
    window = {"since": feedback[0].predicted - 1, "until": feedback[-1].predicted + 1}
    for record in reader.records(folder, project=project, **window):
        if record.get("purpose"):
            demo.add(record["id"])
        for each in by_id.get(record["id"], ()):
            joined += 1
            # With the hash, the inputs hold facts about media, not the media themselves.
            if record.get("inputs_sha256") or each.row >= len(record["inputs"] or ()):
                counts.no_input += 1
                continue
            key = (record.get("of") or record["id"], each.row)
            if key in rows:
                other = rows[key][0]
                same = other.label == each.label
                counts.repeated += same
                counts.conflicting += not same
                if other.received >= each.received:
                    continue
            rows[key] = (each, record["inputs"][each.row])
    counts.no_record += len(feedback) - joined
    counts.demo += sum(id in demo for id, _ in rows)
    return {key: row for key, row in rows.items() if key[0] not in demo}


def _pair(
    given: FeedbackRecord, inputs: Any, record: type[Record], label: Label, counts: Counts
) -> tuple[Record, Any] | None:
    if label.value(given.label) is None:
        counts.no_label += 1
        return None
    try:
        y_true = label.read(given.label)
    except ValidationError:
        counts.bad_label += 1
        return None
    try:
        # Validated as JSON, in which bytes such as images are base64.
        return record.model_validate_json(_json(inputs)), y_true
    except ValidationError:
        counts.bad_input += 1
        return None


def _json(value: Any) -> bytes:
    from pydantic_core import to_json

    return to_json(value)


def held_out(id: str, row: int, *, share: float) -> bool:
    """Return whether a row is a test row, by a hash of the prediction: the same in every run."""
    drawn = int.from_bytes(hashlib.sha256(f"{id}:{row}".encode()).digest()[:8]) / 2**64
    return drawn < share


def write(found: FeedbackRows, folder: Path) -> bool:
    """Write the rows into `folder` as `prepare` writes splits; return False if there are none."""
    from slipway.training import labelled_rows

    folder.mkdir(parents=True, exist_ok=True)
    splits: dict[str, Iterable[tuple[Record, Any]]] = {"train": found.train, "test": found.test}
    for name, rows in splits.items():
        if rows:
            labelled_rows.write(rows, folder / f"{name}.parquet")
    return bool(found.train or found.test)


__all__ = ["Counts", "FeedbackRows", "FeedbackUse", "Label", "Unsuitable", "collect", "write"]
