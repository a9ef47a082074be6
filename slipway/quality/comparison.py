"""Choose the comparison of two predictions for the same record by the kind of parity."""

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from slipway.quality.differences import Difference, compare_values

Compare = Callable[[Any, Any], Iterator[Difference]]


def comparison(kind: str, iou: float) -> Compare:
    """Return the comparison of predictions for the kind of parity in `params.yaml`.

    `values`: numbers by their difference, all else by equality.
    `image`, `boxes` and `none`: as `values`, but pictures are decoded, boxes matched and masks laid
    over each other, of which `iou` is the least overlap.
    `tokens`: as `values`, but of texts and lists of tokens the equal beginning counts, and numbers
    count only as far as the tokens are equal.
    """
    if kind == "values":
        return compare_values
    # Imported by name: a project's `fit` depends only on the comparison that it uses.
    if kind == "tokens":
        tokens: Compare = importlib.import_module(
            "slipway.quality.token_differences"
        ).compare_tokens
        return tokens
    media = importlib.import_module("slipway.quality.media_differences")
    return partial(media.compare_media, iou=iou)
