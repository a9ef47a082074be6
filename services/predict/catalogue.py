"""Describes each project for the catalogue: question, metric, track, picture and state."""

import base64
import binascii
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from services.predict.model_store import ServedProject
from slipway.contract.shipped import Shipped
from slipway.quality.primary import BASELINE, PrimaryMetric

SIGNATURES = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/webp": b"RIFF",
}
# An example with a larger picture is not made into a thumbnail.
LARGEST_PICTURE = 2_000_000


@dataclass(frozen=True)
class Picture:
    """The picture of a project."""

    content: bytes
    media_type: str


def entry(served: ServedProject) -> dict[str, Any]:
    """Return what the catalogue shows of a served project."""
    champion = served.champion
    version, folder = champion.version, champion.version.folder
    place = f"v1/models/{served.name}"
    return {
        "name": served.name,
        "question": version.profile.question,
        "track": Shipped(folder).serving.track or None,
        "metric": metric(folder),
        "version": version.version,
        "state": "loaded" if champion.loaded else "served",
        "isolated": champion.is_isolated,
        "variants": {
            variant: model.version.version for variant, model in sorted(served.models.items())
        },
        "picture": f"{place}/picture" if picture(folder) else None,
        "links": {
            "try": f"try/{served.name}",
            "card": f"try/{served.name}#card",
            "schema": f"{place}/schema",
        },
    }


@lru_cache(maxsize=512)
def metric(folder: Path) -> dict[str, Any] | None:
    """Return the primary metric with its interval, and the baseline's, on test rows.

    Versions whose baseline was not scored on test rows have both on validation rows. None if the
    version ships no metrics.
    """
    content = json.loads((Shipped(folder).about / "metrics.json").read_text())
    name = _primary(folder, content["metrics"], content.get("candidates", {}))
    if name is None:
        return None
    primary = PrimaryMetric.from_results(content, name)
    return {
        "name": name,
        "test": primary.value,
        "interval": primary.interval,
        "test_baseline": primary.baseline,
        "validation": primary.validation,
        "baseline": primary.baseline_validation,
    }


def _primary(
    folder: Path, metrics: dict[str, float], candidates: dict[str, dict[str, float]]
) -> str | None:
    """Return the metric that decides about promotion, or the first that the baseline also has."""
    stated = Shipped(folder).serving.primary
    if stated in metrics:
        return stated
    compared = candidates.get(BASELINE, {})
    return next((name for name in metrics if name in compared), next(iter(metrics), None))


@lru_cache(maxsize=64)
def picture(folder: Path) -> Picture | None:
    """Return the version's own picture, or else the first one in its first example."""
    shipped = Shipped(folder)
    for file in sorted(shipped.about.glob("picture.*")):
        if found := _as_picture(file.read_bytes()):
            return found
    for example in shipped.examples[:1]:
        texts = itertools.chain(_texts(example["output"]), _texts(example["input"]))
        return next(filter(None, map(_decode, texts)), None)
    return None


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in a record, as deep as they lie."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _decode(text: str) -> Picture | None:
    """Return the picture that a field holds as base64 of either alphabet, else None."""
    if not 40 < len(text) < LARGEST_PICTURE:
        return None
    try:
        content = base64.b64decode(text.encode().translate(bytes.maketrans(b"-_", b"+/")))
    except (binascii.Error, ValueError):
        return None
    return _as_picture(content)


def _as_picture(content: bytes) -> Picture | None:
    for kind, signature in SIGNATURES.items():
        if content.startswith(signature) and (kind != "image/webp" or content[8:12] == b"WEBP"):
            return Picture(content, kind)
    return None
