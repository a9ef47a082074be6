"""Plant drift of known sizes into real records."""

import base64
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

Records = list[dict[str, Any]]
Plant = Callable[[Records, random.Random], Records]


@dataclass(frozen=True)
class Planted:
    """A change to one field of the records; `field` is where drift should be detected."""

    title: str
    field: str
    plant: Plant


def shift(field: str, deviations: float, reference: Records) -> Planted:
    """Shift every value by this many standard deviations of the reference."""
    step = deviations * _deviation(reference, field)
    return Planted(
        f"{field} shifted by {deviations:g} sd", field, _each(field, lambda v, _: v + step)
    )


def scale(field: str, factor: float, reference: Records) -> Planted:
    """Stretch values around the reference's mean."""
    middle = float(np.mean(_numbers(reference, field)))
    return Planted(
        f"{field} spread times {factor:g}",
        field,
        _each(field, lambda v, _: middle + factor * (v - middle)),
    )


def swap(field: str, share: float, reference: Records) -> Planted:
    """Replace this share of values by the reference's rarest category."""
    counts = Counter(str(each[field]) for each in reference if each[field] is not None)
    rarest = min(counts, key=lambda name: (counts[name], name))
    return Planted(
        f"{field} turned into {rarest!r} in {share:.0%}",
        field,
        _each(field, lambda v, rng: rarest if rng.random() < share else v),
    )


def missing(field: str, share: float) -> Planted:
    """Remove the value in this share of the rows."""
    return Planted(
        f"{field} missing in {share:.0%} more",
        field,
        _each(field, lambda v, rng: None if rng.random() < share else v),
    )


def shorter(field: str, share: float) -> Planted:
    """Cut texts to this share of their words."""

    def cut(value: Any, _: random.Random) -> Any:
        words = re.findall(r"\s*\S+", value)
        return "".join(words[: max(1, round(share * len(words)))])

    return Planted(f"{field} cut to {share:.0%} of its words", field, _each(field, cut))


def brighter(field: str, levels: int) -> Planted:
    """Brighten every pixel by this many of 255 levels."""
    from PIL import Image

    def lighten(value: Any, _: random.Random) -> Any:
        picture = Image.open(BytesIO(base64.urlsafe_b64decode(value)))
        pixels = np.asarray(picture.convert("L"), dtype=np.int16) + levels
        out = BytesIO()
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(out, "PNG")
        return base64.urlsafe_b64encode(out.getvalue()).decode()

    return Planted(f"{field} lighter by {levels} of 255", field, _each(field, lighten))


def _each(field: str, change: Callable[[Any, random.Random], Any]) -> Plant:
    """Change one field of each record; missing values stay missing."""

    def plant(records: Records, rng: random.Random) -> Records:
        return [
            each if each[field] is None else {**each, field: change(each[field], rng)}
            for each in records
        ]

    return plant


def _numbers(reference: Records, field: str) -> list[float]:
    return [float(each[field]) for each in reference if each[field] is not None]


def _deviation(reference: Records, field: str) -> float:
    return float(np.std(_numbers(reference, field)))
