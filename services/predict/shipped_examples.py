"""Compare a version's predictions for its own examples with those that it was registered with."""

from typing import Any

from slipway.contract import shared_code
from slipway.contract.serving import ParityKind
from slipway.contract.shipped import Shipped
from slipway.quality.comparison import comparison
from slipway.quality.differences import Difference

# Shipped predictions have 4 significant digits and 6 decimals.
ROUNDING, DECIMALS = 5e-4, 1e-6
# Without a measured parity: what another processor may change.
PARITY_ERROR = 1e-3
# The mean difference of two pictures, from 0 to 1: the last bit of a tenth of the pixels.
PICTURE_ERROR = 1e-3
# How much of a field must be the same. A box whose score is at the limit, and the rest of a text
# after two equally likely tokens, depend on the processor.
SHARES: dict[ParityKind, float] = {
    "values": 1.0,
    "image": 1.0,
    "boxes": 0.9,
    "tokens": 0.5,
    "none": 0.9,
}
LONGEST = 60


class ExamplesDiffer(Exception):
    """Raised when a version no longer predicts what it predicted when it was registered."""


def check_examples(shipped: Shipped, predictions: list[Any]) -> None:
    """Compare predictions, in JSON types, with those of the first shipped examples.

    Versions of releases before `about/code.json` are not compared.

    Raises:
        ExamplesDiffer: one differs by more than the version's parity; the message names example and
            field, and the shared code that has changed.
    """
    if not shared_code.is_recorded(shipped.about):
        return
    serving = shipped.serving
    compare = comparison(serving.parity, serving.iou)
    allowed = float(shipped.metrics.get("parity_error", PARITY_ERROR))
    for number, (example, prediction) in enumerate(
        zip(shipped.examples, predictions, strict=False), start=1
    ):
        found = list(compare(example["output"], prediction))
        worst = _first_error(found, allowed) or _first_unequal(found, SHARES[serving.parity])
        if worst:
            raise ExamplesDiffer(
                f"example {number}: {worst.field} is {_shown(worst.other)}, "
                f"registered with {_shown(worst.one)}{_changed(shipped)}"
            )


def _first_error(found: list[Difference], parity_error: float) -> Difference | None:
    return next(
        (
            each
            for each in found
            if each.error is not None and each.error > _tolerance(each.one, parity_error)
        ),
        None,
    )


def _tolerance(value: Any, parity_error: float) -> float:
    """Return the allowed difference, relative above 1, of a number or a picture."""
    if not isinstance(value, float):
        return max(PICTURE_ERROR, parity_error)
    return parity_error + (ROUNDING * abs(value) + DECIMALS) / max(1.0, abs(value))


def _first_unequal(found: list[Difference], least: float) -> Difference | None:
    """Return the first difference of a field of which less than `least` is the same."""
    by_field: dict[str, list[Difference]] = {}
    for each in found:
        if each.error is None:
            by_field.setdefault(each.field.partition(".")[0], []).append(each)
    for parts in by_field.values():
        if sum(each.share for each in parts) < least * len(parts):
            return min(parts, key=lambda each: each.share)
    return None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _changed(shipped: Shipped) -> str:
    names = shared_code.changed(shipped.about)
    return f"; changed since: {', '.join(names)}" if names else ""
