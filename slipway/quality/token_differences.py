"""Compare generated texts: by their equal beginning, and by the numbers of that beginning."""

from collections.abc import Iterator, Sequence
from typing import Any

from slipway.quality.differences import Difference, compare_values


def compare_tokens(one: Any, other: Any) -> Iterator[Difference]:
    """Yield the differences of two predictions, whose texts are made token by token.

    After the first other token all that follows is another text, so a text, or a list of tokens,
    counts by the share of its beginning that is equal. Lists of numbers count as far as the
    shortest equal beginning of a list of tokens, and single numbers only if all texts are equal.
    """
    if not isinstance(one, dict) or not isinstance(other, dict):
        yield from compare_values(one, other)
        return
    texts = {key: (one[key], other[key]) for key in one if _are_texts(one[key], other.get(key))}
    shared = {key: _equal_beginning(*pair) for key, pair in texts.items()}
    for key, (left, right) in texts.items():
        longest = max(len(left), len(right))
        yield Difference(key, left, right, share=shared[key] / longest if longest else 1.0)
    same = all(left == right for left, right in texts.values())
    tokens = [shared[key] for key, (left, _) in texts.items() if not isinstance(left, str)]
    for key in (each for each in {**one, **other} if each not in texts):
        left, right = one.get(key), other.get(key)
        if same or not (_has_numbers(left) and _has_numbers(right)):
            yield from compare_values({key: left}, {key: right})
        elif isinstance(left, list) and isinstance(right, list):
            equal = min([*tokens, len(left), len(right)]) if tokens else 0
            yield from compare_values({key: left[:equal]}, {key: right[:equal]})


def _equal_beginning(one: Sequence[Any], other: Sequence[Any]) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    shorter = min(len(one), len(other))
    return next((place for place, (left, right) in pairs if left != right), shorter)


def _are_texts(one: Any, other: Any) -> bool:
    return (isinstance(one, str) and isinstance(other, str)) or (
        _is_tokens(one) and _is_tokens(other)
    )


def _is_tokens(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, int | str) for each in value)


def _has_numbers(value: Any) -> bool:
    return isinstance(value, float) or (
        isinstance(value, list) and all(isinstance(each, float | list) for each in value)
    )
