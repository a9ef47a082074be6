"""One loaded version: bytes of requests in, bytes of answers out. It knows nothing of HTTP.

The same engine runs on the event loop, in a thread and in a process of its own.
"""

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from services.predict.oip.bounds import Bounds
from services.predict.oip.columns import Column
from services.web.problem import Problem, refused
from slipway.contract import Model, Record
from slipway.explain import Shapley


@dataclass(slots=True)
class Answered:
    """`predictions` is a JSON list of answers, in the order of the records."""

    predictions: bytes
    rows: int
    validate_seconds: float
    infer_seconds: float
    by_column: bool = False
    """`predictions` is an object of whole columns instead, for the record alone."""


class Engine:
    """A model with its validators and serializers at hand."""

    def __init__(self, model: Model, *, batch_rows: int) -> None:
        self.model, self.batch_rows = model, batch_rows
        self.shapley: Shapley | None = None
        self.input_type, self.output_type = model.input_type(), model.output_type()
        self._one: TypeAdapter[Record] = TypeAdapter(self.input_type)
        self._many: TypeAdapter[list[Record]] = TypeAdapter(list[self.input_type])  # type: ignore[name-defined]
        told: TypeAdapter[list[Record]] = TypeAdapter(list[self.output_type])  # type: ignore[name-defined]
        # Validators of the project's own, on fields or the whole, see records and nothing else.
        schema = str(self.input_type.__pydantic_core_schema__)
        validates = "'function-" in schema or "post_init" in schema
        self.answers_columns = type(model).answers_columns() and not validates
        """Whether whole columns may go to the model once they are within the fields' bounds."""
        # The bound methods: looking them up again costs a microsecond a request.
        self._validate_one = self._one.validator.validate_json
        self._validate_many = self._many.validator.validate_json
        self._serialize = told.serializer.to_json

    def answer(self, body: bytes) -> Answered:
        """Answer a JSON record or list of records.

        Raises:
            Problem: the body is refused.
            Exception: whatever the model raises.
        """
        start = perf_counter()
        records = self.records(body)
        validated = perf_counter()
        told = self.model.predict(records)
        inferred = perf_counter()
        return Answered(
            self.serialized(told, len(records)),
            len(records),
            validated - start,
            inferred - validated,
        )

    def records(self, body: bytes) -> list[Record]:
        """Raises Problem: the body is no JSON, no valid record, or too many."""
        try:
            if body[:1] == b"{" or body.lstrip()[:1] != b"[":
                return [self._validate_one(body)]
            records: list[Record] = self._validate_many(body)
        except ValidationError as error:
            raise refused(error) from None
        if not 1 <= len(records) <= self.batch_rows:
            raise Problem(
                422,
                "Invalid input",
                f"a batch must hold 1 to {self.batch_rows} records, got {len(records)}",
            )
        return records

    def answer_columns(
        self, arrays: dict[str, np.ndarray], bounds: Bounds, outputs: tuple[Column, ...]
    ) -> tuple[dict[str, np.ndarray], float, float]:
        """Fields of the answer, (rows,) each, and the seconds to validate and to infer.

        Raises:
            Problem: a value is out of bounds.
            ValueError: the model did not answer every field and row.
            Exception: whatever the model raises.
        """
        start = perf_counter()
        bounds.check(arrays)
        validated = perf_counter()
        told = self.model.predict_columns(arrays)
        rows = len(next(iter(arrays.values())))
        for each in outputs:
            if each.name not in told or len(told[each.name]) != rows:
                raise ValueError(f"predict_columns gave no {each.name} for {rows} rows")
        return told, validated - start, perf_counter() - validated

    def form(self, fields: dict[str, Any]) -> Record:
        """A record from a form's texts and files.

        Raises:
            Problem: it is no valid record.
        """
        try:
            return self._one.validate_python(fields)
        except ValidationError as error:
            raise refused(error) from None

    def serialized(self, told: list[Record], rows: int) -> bytes:
        """Raises ValueError: not as many answers as records."""
        if len(told) != rows:
            raise ValueError(f"{rows} records sent, {len(told)} answers came back")
        return bytes(self._serialize(told))

    def together(self, bodies: list[bytes]) -> list[Answered | Problem]:
        """Answer several requests by one call of the model; each is refused on its own.

        Raises:
            Exception: whatever the model raises; no request was answered then.
        """
        found: list[tuple[list[Record], float] | Problem] = []
        for body in bodies:
            start = perf_counter()
            try:
                found.append((self.records(body), perf_counter() - start))
            except Problem as problem:
                found.append(problem)
        records = [each for one in found if not isinstance(one, Problem) for each in one[0]]
        start = perf_counter()
        told = self.model.predict(records) if records else []
        seconds = perf_counter() - start
        if len(told) != len(records):
            raise ValueError(f"{len(records)} records sent, {len(told)} answers came back")
        answers: list[Answered | Problem] = []
        place = 0
        for one in found:
            if isinstance(one, Problem):
                answers.append(one)
                continue
            rows = len(one[0])
            part = told[place : place + rows]
            place += rows
            answers.append(Answered(self.serialized(part, rows), rows, one[1], seconds))
        return answers
