"""Choose mask, combination and smoothing by the marked frames; no weights are learned."""

from collections.abc import Iterator
from pathlib import Path

from slipway.kits.tracking.camera import shrunk
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.selection import bootstrap_error, simplest_within_error

from .edges import Region
from .following import LaneFollower
from .lines import LaneRecipe, Lines, end_rows, find_lines
from .metrics import Comparison, Positions, baseline_positions, opencv_positions, positions
from .model import SIDE, MarkedRoad, RoadView

# From the simplest to the most complex. A rate of 0.4 forgets half of a line within two frames.
RECIPES = {
    f"{mask}_{combine}{'_smoothed' if rate < 1 else ''}": LaneRecipe(
        mask=mask, combine=combine, rate=rate
    )
    for rate in (1.0, 0.4)
    for combine in ("average", "median", "squares")
    for mask in ("gray", "color", "local")
}
# The confidence from which lines are shown is the least with which so many of them are right, and
# lines are found in so few pictures without a lane.
THRESHOLDS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
PRECISION, FALSE_LANES = 0.95, 0.05

# Two pictures each: too few to compare by.
OMITTED = ("marks_found_pictures", "marks_found_harder")

Rows = LabelledRows[RoadView, MarkedRoad]
Found = list[tuple[Lines, tuple[int, ...]]]
"""Lines of each frame of a row, certain or not, and the frame's shape."""


def fit(*, train: Rows, weights: Path, seed: int) -> Fitted:
    """Choose the recipe that finds most marks while nearly all of its lines are right."""
    means = [baseline_positions(each) for each in train.labels]
    tried = [candidate("baseline", means, train, seed)]
    chosen_recipes, raw = {}, {}
    for name, recipe in RECIPES.items():
        kind = recipe.mask, recipe.combine
        if kind not in raw:
            raw[kind] = [list(look(view, recipe)) for view in train.records]
        best = certain_enough(raw[kind], recipe, train)
        chosen_recipes[name] = best
        tried.append(candidate(name, followed(raw[kind], best), train, seed, best))
        metrics = tried[-1].metrics
        print(
            f"{name}: {metrics['marks_found']:.3f} of the marks, "
            f"{metrics['line_precision']:.3f} of the lines are right",
            flush=True,
        )
    chosen = simplest_within_error(
        [each for each in tried if each.name in RECIPES], "marks_found", best="highest"
    ).name
    recipe = chosen_recipes[chosen]
    (weights / "recipe.json").write_text(recipe.model_dump_json() + "\n")
    # Compared, but not chosen: another way to the lines, which the state does not follow.
    opencv = [opencv_positions(each) for each in train.labels]
    return Fitted([*tried, candidate("opencv_longest", opencv, train, seed)], chosen)


def look(view: RoadView, recipe: LaneRecipe) -> Iterator[tuple[Lines, tuple[int, ...]]]:
    """Yield the lines of each frame by themselves."""
    for _, picture in view.pictures():
        small = shrunk(picture, SIDE)
        yield find_lines(small, recipe, Region())[0], small.shape


def followed(raw: list[Found], recipe: LaneRecipe) -> list[dict[int, Positions]]:
    """Return the positions of lines by frame, of each row, after threshold and smoothing."""
    rows = []
    for frames in raw:
        follower = LaneFollower(recipe, Region())
        rows.append(
            {
                number: positions(
                    follower.add(lines, shape[1]), end_rows(shape[0], Region()), shape
                )
                for number, (lines, shape) in enumerate(frames)
            }
        )
    return rows


def certain_enough(raw: list[Found], recipe: LaneRecipe, rows: Rows) -> LaneRecipe:
    """Return the recipe with the least threshold that leaves out enough, or with the largest."""
    for threshold in THRESHOLDS:
        tried = recipe.model_copy(update={"min_confidence": threshold})
        metrics = Comparison.from_rows(rows.labels, followed(raw, tried)).metrics()
        if metrics["line_precision"] >= PRECISION and metrics["false_lanes"] <= FALSE_LANES:
            break
    return tried


def candidate(
    name: str,
    found: list[dict[int, Positions]],
    rows: Rows,
    seed: int,
    recipe: LaneRecipe | None = None,
) -> Candidate:
    """Return the metrics of lines, with the standard error over places."""
    comparison = Comparison.from_rows(rows.labels, found)
    metrics = {each: value for each, value in comparison.metrics().items() if each not in OMITTED}
    metrics["marks_found_se"] = bootstrap_error(*comparison.by_place(), seed=seed)
    return Candidate(name, metrics, recipe.model_dump() if recipe else {})
