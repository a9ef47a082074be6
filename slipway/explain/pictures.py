"""Shapley values of the cells of a picture: absent cells are taken from a blurred copy of it.

A blurred copy keeps light and color and takes away what is there to be seen. A grey or black cell
would itself be an object with edges, which no picture in training had.
"""

import typing
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial

import numpy as np
import PIL.Image
import PIL.ImageFilter
from pydantic import Field

from slipway.contract.model import Model
from slipway.contract.record import Record
from slipway.explain.activation import ActivationMap, activation_map
from slipway.explain.coalitions import Shares
from slipway.explain.explanation import NotExplainable
from slipway.explain.parts import Budget, Evaluations, divide, least_rows
from slipway.explain.scores import has_score
from slipway.explain.shapley import without_cached
from slipway.media import Image, decode_image, encode_quickly, media_fields

# Cells a side. Slow models get the first coarser grid that their budget of seconds allows.
GRIDS = (7, 5, 4, 3)
# Larger batches take more memory and are hardly faster: a network's row takes most of the time.
BATCH, BATCH_BYTES = 32, 16_000_000


class PictureExplanation(Record):
    """One number of one prediction, divided among the cells of the record's picture.

    `base` and all cells add up to `value`, but for `gap`, which is rounding. The other fields of
    the record stay as they are.
    """

    explained: str = Field(description="The number that is divided, such as the predicted class")
    unit: str = Field(description="The unit of all numbers here, such as probability")
    field: str = Field(description="The record's field with the picture")
    width: int = Field(ge=1, description="Pixels of the upright picture")
    height: int = Field(ge=1)
    base: float = Field(description="The number for the blurred picture")
    value: float = Field(description="The number for the picture")
    cells: list[list[float]] = Field(
        description="What each cell adds to the base, by rows from the top, 7 x 7 as a rule"
    )
    standard_error: list[list[float]] = Field(
        description="By cell, from sampling orders of the cells; 0 where exact"
    )
    gap: float = Field(description="Base plus all cells minus value")
    evaluations: int = Field(ge=1, description="Pictures that the model looked at")
    calls: int = Field(ge=1, description="Calls of the model; each looks at several pictures")
    budget_seconds: float = Field(description="The time allowed, from the model's latency")
    activation_map: ActivationMap | None = Field(
        default=None, description="Where the network looked, if it pools globally"
    )


def picture_field(kind: type[Record]) -> str | None:
    """Return the first field of a record that holds one picture, None without one."""
    for name, marker in media_fields(kind).items():
        several = typing.get_origin(kind.model_fields[name].annotation) is list
        if isinstance(marker, Image) and not several:
            return name
    return None


def explains_pictures(model: Model) -> bool:
    """Return whether `explain_picture` can explain predictions of the model."""
    return picture_field(model.input_type()) is not None and has_score(model)


def blurred(picture: np.ndarray) -> np.ndarray:
    """Return the picture without anything as small as a cell: deviation of a cell's side."""
    height, width = picture.shape[:2]
    blur = PIL.ImageFilter.GaussianBlur((width / GRIDS[0], height / GRIDS[0]))
    return np.asarray(PIL.Image.fromarray(picture).filter(blur))


@dataclass(frozen=True)
class Grid:
    """The cells of a picture, by their edges in pixels."""

    rows: np.ndarray
    columns: np.ndarray

    @classmethod
    def over(cls, picture: np.ndarray, cells: tuple[int, int]) -> "Grid":
        """Return a grid of so many rows and columns of cells of equal size."""
        sides = zip(picture.shape[:2], cells, strict=True)
        return cls(*(np.linspace(0, pixels, n + 1).round().astype(int) for pixels, n in sides))

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows) - 1, len(self.columns) - 1

    def spread(self, cells: np.ndarray) -> np.ndarray:
        """Return the value of its cell (rows, columns) for each pixel (height, width)."""
        by_row = np.repeat(cells, np.diff(self.rows), axis=0)
        return np.repeat(by_row, np.diff(self.columns), axis=1)

    def differing(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return the flags (rows, columns) of the cells in which two pictures differ."""
        pixels = (one != other).reshape(*one.shape[:2], -1).any(axis=2)
        down = np.logical_or.reduceat(pixels, self.rows[:-1], axis=0)
        return np.asarray(np.logical_or.reduceat(down, self.columns[:-1], axis=1))


def explain_picture(
    model: Model, record: Record, budget: Budget
) -> Generator[None, None, PictureExplanation]:
    """Explain the prediction for one record by its picture, yielding after each call of the model.

    Raises:
        NotExplainable: there is no picture, no number to divide, or the model is too slow.
    """
    name = picture_field(type(record))
    content = getattr(record, name) if name else None
    if name is None or content is None:
        raise NotExplainable(f"the record has no picture{f' in {name}' if name else ''}")
    picture = decode_image(content)
    blank = blurred(picture)
    template = without_cached(record)
    batch = max(1, min(BATCH, BATCH_BYTES // picture.nbytes))
    evaluations = Evaluations(model, budget, batch)
    bare = template.model_copy(update={name: encode_quickly(blank)})
    score, full, empty = yield from evaluations.ends(record, bare)
    grid, players = _affordable(picture, blank, evaluations)
    make = partial(_mixtures, template, name, picture, blank, grid, players)
    shares = yield from divide(int(players.sum()), make, evaluations, score, empty=empty, full=full)
    cells, errors = _by_cell(players, shares)
    looked_at = activation_map(model, record, score.explained)
    return PictureExplanation(
        explained=score.explained,
        unit=score.unit,
        field=name,
        height=picture.shape[0],
        width=picture.shape[1],
        base=empty,
        value=full,
        cells=cells.tolist(),
        standard_error=errors.tolist(),
        gap=empty + float(cells.sum()) - full,
        evaluations=evaluations.rows,
        calls=evaluations.calls,
        budget_seconds=budget.seconds,
        activation_map=looked_at,
    )


def _affordable(
    picture: np.ndarray, blank: np.ndarray, evaluations: Evaluations
) -> tuple[Grid, np.ndarray]:
    """Return the finest grid that the budget allows, and its cells (rows, columns) that matter.

    A cell that looks the same in both pictures cannot matter, and takes no evaluation.

    Raises:
        NotExplainable: even the coarsest grid takes too long.
    """
    height, width = picture.shape[:2]
    for side in GRIDS:
        grid = Grid.over(picture, (min(side, height), min(side, width)))
        players = grid.differing(picture, blank)
        least = least_rows(int(players.sum()))
        if evaluations.affords(least):
            return grid, players
    needed = evaluations.spent + least * evaluations.row_seconds
    raise NotExplainable(
        f"{least} predictions for pictures of {width} x {height} pixels would take about "
        f"{needed:.0f} s, and {evaluations.budget.seconds:.0f} s are "
        "allowed: send a smaller picture"
    )


def _mixtures(
    record: Record,
    name: str,
    picture: np.ndarray,
    blank: np.ndarray,
    grid: Grid,
    players: np.ndarray,
    coalitions: np.ndarray,
) -> list[Record]:
    """Return the record with each coalition's cells of the picture and the blurred other cells."""
    records = []
    for flags in coalitions:
        shown = np.zeros(grid.shape, dtype=bool)
        shown[players] = flags
        pixels = np.where(grid.spread(shown)[..., None], picture, blank)
        records.append(record.model_copy(update={name: encode_quickly(pixels)}))
    return records


def _by_cell(players: np.ndarray, shares: Shares) -> tuple[np.ndarray, np.ndarray]:
    """Return the values and the standard errors of all cells (rows, columns)."""
    values, errors = np.zeros(players.shape), np.zeros(players.shape)
    values[players], errors[players] = shares.values, np.sqrt(shares.variances)
    return values, errors
