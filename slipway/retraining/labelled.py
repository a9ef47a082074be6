"""What predictions turned out to be, as rows to train on: records of the log joined with truths."""

import hashlib
import typing
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from slipway.contract import Model, Record
from slipway.predictions import reader
from slipway.predictions.feedback import FILE, FeedbackStore, Told

DAY = 86_400
LABELS = (bool, int, float, str)


class Unsuitable(Exception):
    """Feedback cannot train this project; the message says what would be needed."""


class FeedbackUse(BaseModel):
    """Which truths of POST /v1/feedback a run is trained on, beside the project's own rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: Annotated[float, Field(gt=0, le=3650)] = 30
    """Of predictions that are no older."""
    rows: Annotated[int, Field(ge=1, le=1_000_000)] = 50_000
    """At most, the newest; all are in memory at once."""
    test_share: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Of them go to the test rows instead: a prediction always to the same side. With 0 the test
    rows stay the project's own, and candidate and champion are compared on the past alone."""
    truth: Annotated[str, Field(pattern="^[a-z_][a-z0-9_]*$")] | None = None
    """The answer's field that holds the truth; without it the first of the truths' type."""


@dataclass
class Counts:
    """What became of each truth; all but `used` and `held_out` are left out."""

    told: int = 0
    used: int = 0
    held_out: int = 0
    revised: int = 0
    """Of those used: truths that replaced another one. The last that was said holds."""
    conflicting: int = 0
    """Said differently of the champion's answer and of the shadow's; the later one holds."""
    repeated: int = 0
    """Said of the champion's answer and of the shadow's alike."""
    no_truth: int = 0
    """A reward alone, or other fields of the answer."""
    bad_truth: int = 0
    no_record: int = 0
    """The prediction is not on record any more."""
    no_input: int = 0
    """Only the hash of the input was kept: it was long."""
    bad_input: int = 0
    """Not what the project's record allows now."""


@dataclass
class Labelled:
    """Rows as `data.splits` yields them, by time of prediction."""

    train: list[tuple[Record, Any]] = field(default_factory=list)
    test: list[tuple[Record, Any]] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    since: float | None = None
    until: float | None = None

    def about(self) -> dict[str, Any]:
        return {"counts": asdict(self.counts), "since": self.since, "until": self.until}


@dataclass(frozen=True)
class Label:
    """Where the truth stands in a feedback, and what it must be."""

    name: str
    kind: type
    check: TypeAdapter[Any]

    @classmethod
    def of(cls, model: Model, data: ModuleType, name: str | None) -> "Label":
        """From the types alone: `data.splits` says what a truth is, the answer where one stands.

        Raises:
            Unsuitable: no field of the answer is of the truths' type.
        """
        kind = truth_type(data)
        fields = model.output_type().model_fields
        fitting = [each for each, about in fields.items() if bare(about.annotation) is kind]
        chosen = name or next(iter(fitting), None)
        if chosen not in fitting:
            wanted = f"feedback.truth: {name!r} is not a" if name else "the answer has no"
            raise Unsuitable(
                f"{wanted} field of type {kind.__name__}, which the truths of data.splits are; "
                f"such fields: {', '.join(fitting) or 'none'}"
            )
        about = fields[chosen]
        parts: Any = about.annotation
        if about.metadata:
            parts = Annotated[parts, *about.metadata]
        return cls(chosen, kind, TypeAdapter(parts, config=ConfigDict(strict=True)))

    def read(self, truth: dict[str, Any]) -> Any:
        """Raises ValidationError: the field would not allow it."""
        value = self.check.validate_python(truth[self.name])
        return None if value is None else self.kind(value)


def truth_type(data: ModuleType) -> type:
    """The type of a truth, as the type hints of `data.splits` say: `bool`, `float` and so on.

    Raises:
        Unsuitable: it is none of a label's or a number's.
    """
    splits = typing.get_type_hints(data.splits).get("return")
    try:
        _, rows = typing.get_args(splits)
        (pair,) = typing.get_args(rows)
        _, truth = typing.get_args(pair)
    except ValueError:
        raise Unsuitable(
            "data.splits must be annotated as dict[str, Iterable[tuple[a Record, a type]]] for "
            f"feedback to be understood, got {splits!r}"
        ) from None
    if truth not in LABELS:
        raise Unsuitable(
            f"the truths of data.splits are {truth!r}: only {', '.join(x.__name__ for x in LABELS)}"
            " can be taken from one field of the answer"
        )
    return typing.cast(type, truth)


def bare(annotation: Any) -> Any:
    """`float` of `float | None`."""
    parts = [each for each in typing.get_args(annotation) if each is not type(None)]
    return parts[0] if len(parts) == 1 else annotation


def collect(
    folder: Path, project: str, model: Model, label: Label, use: FeedbackUse, *, now: float
) -> Labelled:
    """The truths about `project` in the prediction log `folder`, joined with what was sent.

    One row a prediction's record: a truth that was corrected counts once, as last said, and so
    does one that was said of the champion's answer and of the shadow's. In the order of the
    predictions, so that the same feedback gives the same bytes.
    """
    found = Labelled()
    since = now - use.days * DAY
    told = _told(folder, project, since, use.rows)
    found.counts.told = len(told)
    if not told:
        return found
    found.since, found.until = told[0].predicted, told[-1].predicted
    rows = _joined(folder, project, told, found.counts)
    sent = model.input_type()
    for key, (said, inputs) in sorted(rows.items(), key=lambda each: (each[1][0].predicted, each)):
        pair = _pair(said, inputs, sent, label, found.counts)
        if pair is None:
            continue
        found.counts.revised += said.revision > 1
        if held_out(*key, share=use.test_share):
            found.test.append(pair)
        else:
            found.train.append(pair)
    found.counts.used, found.counts.held_out = len(found.train), len(found.test)
    return found


def _told(folder: Path, project: str, since: float, limit: int) -> list[Told]:
    if not (folder / FILE).is_file():
        return []
    store = FeedbackStore(folder)
    try:
        return store.told(project, since=since, limit=limit)
    finally:
        store.close()


def _joined(
    folder: Path, project: str, told: list[Told], counts: Counts
) -> dict[tuple[str, int], tuple[Told, Any]]:
    """By the prediction that the caller got and its row: what was said last, and what was sent."""
    said: dict[str, list[Told]] = {}
    for each in told:
        said.setdefault(each.id, []).append(each)
    rows: dict[tuple[str, int], tuple[Told, Any]] = {}
    joined = 0
    # The log's times are milliseconds.
    window = {"since": told[0].predicted - 1, "until": told[-1].predicted + 1}
    for record in reader.records(folder, project=project, **window):
        for each in said.get(record["id"], ()):
            joined += 1
            if record["inputs"] is None or each.row >= len(record["inputs"]):
                counts.no_input += 1
                continue
            key = (record.get("of") or record["id"], each.row)
            if key in rows:
                other = rows[key][0]
                same = other.truth == each.truth
                counts.repeated += same
                counts.conflicting += not same
                if other.received >= each.received:
                    continue
            rows[key] = (each, record["inputs"][each.row])
    counts.no_record += len(told) - joined
    return rows


def _pair(
    said: Told, inputs: Any, sent: type[Record], label: Label, counts: Counts
) -> tuple[Record, Any] | None:
    if said.truth.get(label.name) is None:
        counts.no_truth += 1
        return None
    try:
        truth = label.read(said.truth)
    except ValidationError:
        counts.bad_truth += 1
        return None
    try:
        # As JSON: pictures and the like travel as base64 there.
        return sent.model_validate_json(_json(inputs)), truth
    except ValidationError:
        counts.bad_input += 1
        return None


def _json(value: Any) -> bytes:
    from pydantic_core import to_json

    return to_json(value)


def held_out(id: str, row: int, *, share: float) -> bool:
    """By a hash of the prediction: on the same side in every run."""
    drawn = int.from_bytes(hashlib.sha256(f"{id}:{row}".encode()).digest()[:8]) / 2**64
    return drawn < share


def write(found: Labelled, folder: Path) -> bool:
    """As Parquet of the shape that `prepare` writes, below `folder`; False if there are no rows."""
    from slipway.training import examples

    folder.mkdir(parents=True, exist_ok=True)
    splits: dict[str, Iterable[tuple[Record, Any]]] = {"train": found.train, "test": found.test}
    for name, rows in splits.items():
        if rows:
            examples.write(rows, folder / f"{name}.parquet")
    return bool(found.train or found.test)


__all__ = ["Counts", "FeedbackUse", "Label", "Labelled", "Unsuitable", "collect", "write"]
