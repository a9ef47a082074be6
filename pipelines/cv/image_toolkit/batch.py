"""Apply operations to every picture of a folder: `python -m pipelines.cv.image_toolkit.batch`.

A run that was stopped goes on where it was: a result is renamed to its name when it is complete,
and what exists is skipped. Each worker has one picture in memory at a time.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from slipway.media import decode_image

from .formats import FORMATS
from .model import ACCEPTED, Edit, edited
from .operations import Operation, apply

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}
# What made the results of a folder; others must not be mixed with them.
RECIPE = ".recipe.json"
# Pictures that wait for a worker: names alone, so that a folder may have any number of them.
WAITING = 4


class RecipeChanged(Exception):
    """The target folder holds results of other operations."""


@dataclass(frozen=True)
class Recipe:
    """The operations, and the format of the results."""

    operations: list[Operation]
    format: str
    quality: int

    def text(self) -> str:
        """Return the recipe as JSON."""
        steps = [each.model_dump(mode="json", exclude_none=True) for each in self.operations]
        return json.dumps({"operations": steps, "format": self.format, "quality": self.quality})


@dataclass
class Summary:
    """The counts of a run."""

    done: int = 0
    skipped: int = 0
    failures: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        rate = self.done / self.seconds if self.seconds else 0.0
        return (
            f"{self.done} pictures done, {self.skipped} skipped, {self.failures} failed: "
            f"{rate:.1f} pictures a second"
        )


def pictures(folder: Path) -> Iterator[Path]:
    """Yield the pictures in a folder and those inside it, by their suffix."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        yield from (
            Path(place, name) for name in sorted(names) if Path(name).suffix.lower() in SUFFIXES
        )


def target_of(picture: Path, source: Path, target: Path, recipe: Recipe) -> Path:
    """Return the place of a result; the old suffix stays, so that `a.png` and `a.jpg` differ."""
    return target / f"{picture.relative_to(source)}.{recipe.format}"


def convert(picture: Path, result: Path, recipe: Recipe) -> str:
    """Write the result of one picture; return what is wrong with it, or nothing."""
    try:
        edit = Edit(
            image=picture.read_bytes(),
            operations=recipe.operations,
            format=recipe.format,
            quality=recipe.quality,
        )
    except ValidationError as error:
        return f"{picture}: {error.errors()[0]['msg']}"
    except OSError as error:
        return f"{picture}: {error.strerror}"
    pixels: np.ndarray = apply(decode_image(edit.image), edit.operations)
    result.parent.mkdir(parents=True, exist_ok=True)
    part = result.with_name(f".{result.name}.{os.getpid()}.part")
    part.write_bytes(edited(edit, pixels).image)
    part.replace(result)
    return ""


def run(source: Path, target: Path, recipe: Recipe, workers: int) -> Summary:
    """Convert the pictures of `source` that have no result in `target` yet.

    Raises:
        RecipeChanged: `target` holds results of another recipe.
    """
    target.mkdir(parents=True, exist_ok=True)
    noted = target / RECIPE
    if noted.is_file() and noted.read_text() != recipe.text():
        raise RecipeChanged(f"{target} holds results of other operations: choose another folder")
    noted.write_text(recipe.text())
    summary, start = Summary(), time.perf_counter()
    jobs = _jobs(source, target, recipe, summary)
    with ProcessPoolExecutor(workers) as pool:

        def start_jobs(count: int) -> set["Future[str]"]:
            return {pool.submit(convert, *job, recipe) for job in islice(jobs, count)}

        running = start_jobs(workers * WAITING)
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for each in ended:
                _count(each, summary)
            running |= start_jobs(len(ended))
    summary.seconds = time.perf_counter() - start
    return summary


def _jobs(
    source: Path, target: Path, recipe: Recipe, summary: Summary
) -> Iterator[tuple[Path, Path]]:
    """Yield the pictures without a result, with the places of their results."""
    inside = target.resolve()
    for picture in pictures(source):
        result = target_of(picture, source, target, recipe)
        if result.exists():
            summary.skipped += 1
        elif inside not in picture.resolve().parents:
            yield picture, result


def _count(ended: "Future[str]", summary: Summary) -> None:
    if problem := ended.result():
        print(problem, file=sys.stderr)
        summary.failures += 1
    else:
        summary.done += 1


def parse_arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Apply operations to every picture of a folder.")
    parser.add_argument("source", type=Path, help=f"folder of {', '.join(ACCEPTED)} pictures")
    parser.add_argument("target", type=Path, help="folder of the results")
    parser.add_argument("--operations", default="[]", help="as in a request, in JSON")
    parser.add_argument("--format", default="png", choices=FORMATS)
    parser.add_argument("--quality", type=int, default=90, choices=range(1, 101), metavar="1-100")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(words)
    try:
        options.operations = TypeAdapter(list[Operation]).validate_json(options.operations)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        parser.error(f"--operations: {place}: {first['msg']}")
    if not options.source.is_dir():
        parser.error(f"{options.source} is not a folder")
    return options


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; return 1 if a picture failed."""
    options = parse_arguments(words)
    recipe = Recipe(options.operations, options.format, options.quality)
    try:
        summary = run(options.source, options.target, recipe, max(1, options.workers))
    except RecipeChanged as error:
        print(error, file=sys.stderr)
        return 2
    print(summary)
    return 1 if summary.failures else 0


if __name__ == "__main__":
    sys.exit(main())
