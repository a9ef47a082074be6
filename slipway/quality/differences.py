"""Compare two predictions for the same record, number by number and label by label."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between two predictions at one place."""

    field: str
    """The place, such as `boxes.0.score`."""
    one: Any
    other: Any
    error: float | None = None
    """The difference of two numbers, relative above 1; of two pictures, of their brightness."""
    share: float = 1.0
    """Without an error: how much is the same, from 0 to 1."""


def compare_values(one: Any, other: Any, field: str = "") -> Iterator[Difference]:
    """Yield the difference of every pair of leaves; a leaf without a partner is one by itself."""
    yield from compare_inside(one, other, field, compare_values)


def compare_inside(
    one: Any, other: Any, field: str, compare: Callable[[Any, Any, str], Iterator[Difference]]
) -> Iterator[Difference]:
    """Yield the differences of two values; `compare` compares what is inside of them."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            yield from _members(one, other, key, inner(field, key), compare)
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        left, right = dict(enumerate(one)), dict(enumerate(other))
        for place in range(max(len(one), len(other))):
            yield from _members(left, right, place, inner(field, place), compare)
    elif isinstance(one, float) and isinstance(other, float):
        yield Difference(field, one, other, abs(one - other) / max(1.0, abs(one)))
    else:
        yield Difference(field, one, other, share=float(one == other))


def _members(
    left: dict[Any, Any],
    right: dict[Any, Any],
    key: Any,
    field: str,
    compare: Callable[[Any, Any, str], Iterator[Difference]],
) -> Iterator[Difference]:
    if key in left and key in right:
        yield from compare(left[key], right[key], field)
    else:
        yield Difference(field, left.get(key), right.get(key), share=0.0)


def inner(field: str, key: Any) -> str:
    """Return the place of `key` in the place `field`."""
    return f"{field}.{key}" if field else str(key)
