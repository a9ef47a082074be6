"""Other parameters for one training run, held against the project's own `params.yaml`."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from slipway.project import Params

Values = Annotated[dict[str, Any], Field(max_length=100)]


class BadParameters(ValueError):
    """A parameter that the project does not have, or of another kind; `faults` by field."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {told}" for field, told in faults.items()))
        self.faults = dict(faults)


class Overrides(BaseModel):
    """What differs from `params.yaml`: arguments of `data.splits` and of `train.fit`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prepare: Values = {}
    fit: Values = {}

    @field_validator("prepare", "fit")
    @classmethod
    def _written(cls, values: dict[str, Any]) -> dict[str, Any]:
        try:
            json.dumps(values, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"must be JSON with finite numbers: {error}") from None
        return values

    def __bool__(self) -> bool:
        return bool(self.prepare or self.fit)

    def check(self, params: Params) -> None:
        """Raises BadParameters: the project has no such parameter, or one of another kind."""
        faults = dict(self._faults(params))
        if faults:
            raise BadParameters(faults)

    def _faults(self, params: Params) -> Iterator[tuple[str, str]]:
        for stage in ("prepare", "fit"):
            yield from differing(getattr(params, stage), getattr(self, stage), stage)

    def merged(self, values: dict[str, Any]) -> dict[str, Any]:
        """The content of a `params.yaml` with these in place of its own."""
        given = self.model_dump()
        return {**values, **{stage: deep(values.get(stage) or {}, given[stage]) for stage in given}}


def differing(own: Mapping[str, Any], given: Mapping[str, Any], place: str) -> Iterator[Any]:
    """(field, what is wrong with it) for each value of `given` that cannot replace one of `own`."""
    for name, value in given.items():
        field = f"{place}.{name}"
        if name not in own:
            yield field, f"no such parameter; {place} has {', '.join(sorted(own)) or 'none'}"
        elif isinstance(own[name], Mapping) and isinstance(value, Mapping):
            yield from differing(own[name], value, field)
        elif fault := unlike(own[name], value):
            yield field, fault


def unlike(own: Any, value: Any) -> str | None:
    """What is wrong with `value` where `own` stood, or None. A parameter that is null takes any."""
    if own is None:
        return None
    wanted, found = kind(own), kind(value)
    if wanted == found or (wanted, found) == ("a number", "a whole number"):
        return None
    return f"must be {wanted} like {own!r:.40}, got {value!r:.40}"


def kind(value: Any) -> str:
    # A bool is an int to Python: asked first.
    kinds: tuple[tuple[Any, str], ...] = (
        (bool, "true or false"),
        (int, "a whole number"),
        (float, "a number"),
        (str, "a text"),
        (list, "a list"),
        (dict, "an object"),
    )
    return next((told for each, told in kinds if isinstance(value, each)), "null")


def deep(own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`own` with the values of `given`, objects merged."""
    merged = dict(own)
    for name, value in given.items():
        below = own.get(name)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[name] = deep(below, value) if both else value  # type: ignore[arg-type]
    return merged
