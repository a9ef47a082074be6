"""Parameters of one training run that replace those of the project's `params.yaml`."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from slipway.project import Params

Values = Annotated[dict[str, Any], Field(max_length=100)]


class BadParameters(ValueError):
    """Raised for a parameter that the project lacks or of another type; `faults` by field."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {fault}" for field, fault in faults.items()))
        self.faults = dict(faults)


class Overrides(BaseModel):
    """The parameters that differ from `params.yaml`: of `data.splits` and of `train.fit`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prepare: Values = {}
    fit: Values = {}

    @field_validator("prepare", "fit")
    @classmethod
    def _check_json(cls, values: dict[str, Any]) -> dict[str, Any]:
        try:
            json.dumps(values, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"must be JSON with finite numbers: {error}") from None
        return values

    def __bool__(self) -> bool:
        return bool(self.prepare or self.fit)

    def check(self, params: Params) -> None:
        """Check the parameters against the project's.

        Raises:
            BadParameters: the project has no such parameter, or one of another type.
        """
        faults = dict(self._faults(params))
        if faults:
            raise BadParameters(faults)

    def _faults(self, params: Params) -> Iterator[tuple[str, str]]:
        for stage in ("prepare", "fit"):
            yield from mismatches(getattr(params, stage), getattr(self, stage), stage)

    def merged(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the content of a `params.yaml` with these parameters in place of its own."""
        given = self.model_dump()
        return {
            **values,
            **{stage: deep_merge(values.get(stage) or {}, given[stage]) for stage in given},
        }


def mismatches(own: Mapping[str, Any], given: Mapping[str, Any], place: str) -> Iterator[Any]:
    """Yield (field, fault) for each value of `given` that cannot replace the one in `own`."""
    for name, value in given.items():
        field = f"{place}.{name}"
        if name not in own:
            yield field, f"no such parameter; {place} has {', '.join(sorted(own)) or 'none'}"
        elif isinstance(own[name], Mapping) and isinstance(value, Mapping):
            yield from mismatches(own[name], value, field)
        elif fault := type_fault(own[name], value):
            yield field, fault


def type_fault(own: Any, value: Any) -> str | None:
    """Return why `value` cannot replace `own`, or None if it can. Null accepts any value."""
    if own is None:
        return None
    wanted, found = type_name(own), type_name(value)
    if wanted == found or (wanted, found) == ("a number", "a whole number"):
        return None
    return f"must be {wanted} like {own!r:.40}, got {value!r:.40}"


def type_name(value: Any) -> str:
    """Return what YAML calls the value's type, for messages."""
    # bool comes first because it is a subclass of int.
    names: tuple[tuple[Any, str], ...] = (
        (bool, "true or false"),
        (int, "a whole number"),
        (float, "a number"),
        (str, "a text"),
        (list, "a list"),
        (dict, "an object"),
    )
    return next((name for each, name in names if isinstance(value, each)), "null")


def deep_merge(own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return `own` with the values of `given`; nested objects are merged."""
    merged = dict(own)
    for name, value in given.items():
        current = own.get(name)
        both = isinstance(current, Mapping) and isinstance(value, Mapping)
        merged[name] = deep_merge(current, value) if both else value  # type: ignore[arg-type]
    return merged
