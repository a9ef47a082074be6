"""Measures of found corners, relative to the photograph's diagonal."""

from collections.abc import Sequence

import numpy as np

from slipway.media import Point

# A corner within 1 % of the diagonal, 8 of 800 pixels, loses no text at a usual margin.
CLOSE = 0.01


def corner_array(points: Sequence[Point]) -> np.ndarray:
    """Return points as an array (n, 2)."""
    return np.array([(each.x, each.y) for each in points], dtype=np.float64).reshape(-1, 2)


def corner_error(found: np.ndarray, true: np.ndarray) -> float:
    """Return the mean distance in pixels between corners (4, 2), at the best cyclic order.

    A sheet that lies on its side has another first corner than the printed one.
    """
    return float(
        min(np.linalg.norm(np.roll(found, turn, axis=0) - true, axis=1).mean() for turn in range(4))
    )


def sheet_errors(
    found: Sequence[np.ndarray], said: Sequence[bool], true: Sequence[np.ndarray]
) -> np.ndarray:
    """Return the corner error in pixels of each photograph with a sheet; infinite if not found."""
    return np.array(
        [
            corner_error(one, other) if hit else np.inf
            for one, hit, other in zip(found, said, true, strict=True)
            if len(other)
        ]
    )


def close_share(errors: np.ndarray) -> float:
    """Return the share of corner errors (sheets,) within 1 % of the 800 pixel diagonal."""
    return float((errors <= CLOSE * 800).mean()) if len(errors) else 0.0


def corner_metrics(
    found: Sequence[np.ndarray], said: Sequence[bool], true: Sequence[np.ndarray]
) -> dict[str, float]:
    """Return the measures of sheets that were found, given whether each was `said` to be found.

    `close_share`: share of sheets with a mean corner error within 1 % of the 800 pixel diagonal,
    counting a sheet that was not found as a miss. `corner_error_median`: in pixels, over the sheets
    that were found. `false_sheets`: share of photographs without a sheet in which one was found.
    """
    errors = sheet_errors(found, said, true)
    blanks = [hit for hit, other in zip(said, true, strict=True) if not len(other)]
    within = errors[np.isfinite(errors)]
    return {
        "close_share": close_share(errors),
        "corner_error_median": float(np.median(within)) if len(within) else 800.0,
        "false_sheets": float(np.mean(blanks)) if blanks else 0.0,
    }
