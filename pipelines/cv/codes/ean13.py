"""Write and read EAN-13, the bars on groceries, in NumPy alone.

Each digit is four stripes, seven modules wide together. The left half may write a digit in two
ways, and the pattern of these ways is the first digit. The last digit is a checksum.
ISO/IEC 15420:2009.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

# Widths of the four stripes of each digit.
WIDTHS = np.array(
    [
        *([3, 2, 1, 1], [2, 2, 2, 1], [2, 1, 2, 2], [1, 4, 1, 1], [1, 1, 3, 2]),
        *([1, 2, 3, 1], [1, 1, 1, 4], [1, 3, 1, 2], [1, 2, 1, 3], [3, 1, 1, 2]),
    ]
)
# By first digit: which of the six left digits are written in mirrored widths.
MIRRORED = (
    *("000000", "001011", "001101", "001110", "010011"),
    *("011001", "011100", "010101", "010110", "011010"),
)
# Guards of three, five and three stripes between and around two halves of 6 x 4.
STRIPES = 3 + 24 + 5 + 24 + 3
MODULES = 95
# The largest error of a stripe's width, in modules, at which a digit still counts as one. Half a
# module is where the next width begins.
TOLERANCE = 0.6
# A stripe differs from its neighbors by at least so many levels; below are folds and noise.
CONTRAST = 20


def check_digit(digits: str) -> str:
    """Return the checksum of the first twelve digits: weights 1 and 3 in turn, up to ten.

    Raises:
        ValueError: `digits` are not twelve digits.
    """
    if len(digits) != 12 or not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"an EAN-13 has twelve digits before its checksum, got {digits!r}")
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return str(-total % 10)


def with_check_digit(digits: str) -> str:
    """Return thirteen digits for twelve, or for thirteen whose checksum is right.

    Raises:
        ValueError: there are neither twelve nor thirteen digits, or the checksum is wrong.
    """
    if len(digits) not in (12, 13):
        raise ValueError(f"an EAN-13 has 12 or 13 digits, got {len(digits)}")
    wanted = check_digit(digits[:12])
    if digits[12:] not in ("", wanted):
        raise ValueError(f"the checksum of {digits} must be {wanted}, got {digits[12:]}")
    return digits[:12] + wanted


def bars(digits: str) -> np.ndarray:
    """Return the modules (95,) of thirteen digits, true where dark."""
    digits = with_check_digit(digits)
    left = [
        WIDTHS[int(digit)][:: -1 if mirrored == "1" else 1]
        for digit, mirrored in zip(digits[1:7], MIRRORED[int(digits[0])], strict=True)
    ]
    right = [WIDTHS[int(digit)] for digit in digits[7:]]
    widths = np.concatenate([[1, 1, 1], *left, [1] * 5, *right, [1, 1, 1]])
    # Stripes alternate, and the first is dark.
    return np.repeat(np.arange(STRIPES) % 2 == 0, widths)


@dataclass(frozen=True)
class Stripe:
    """An EAN-13 on a line: its digits, and where its first and last bar end."""

    digits: str
    start: float
    end: float


def edges(profile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where a profile (n,) of brightness steps, to a part of a pixel, and whether it falls.

    Between two neighboring extremes, the step is where the middle of both is crossed.
    """
    values = np.asarray(profile, dtype=np.float64)
    turns = _extremes(values)
    places, falls = [], []
    for left, right in pairwise(turns):
        middle = (values[left] + values[right]) / 2
        falling = values[left] > values[right]
        segment = values[left : right + 1]
        after = int(np.argmax(segment < middle if falling else segment > middle))
        one, other = segment[after - 1], segment[after]
        places.append(left + after - 1 + (middle - one) / (other - one))
        falls.append(falling)
    return np.array(places), np.array(falls, dtype=bool)


def _extremes(values: np.ndarray) -> list[int]:
    """Return the places of alternating maxima and minima that differ by at least `CONTRAST`."""
    turns, candidate, rising = [0], 0, None
    for place in range(1, len(values)):
        value = values[place]
        if rising is None:
            if abs(value - values[turns[0]]) >= CONTRAST:
                rising, candidate = value > values[turns[0]], place
        elif (value > values[candidate]) == rising and value != values[candidate]:
            candidate = place
        elif abs(value - values[candidate]) >= CONTRAST:
            turns.append(candidate)
            rising, candidate = not rising, place
    return [*turns, candidate] if rising is not None else []


def read_line(profile: np.ndarray) -> Stripe | None:
    """Return the EAN-13 on a line of brightness (n,), in either direction; None without one."""
    places, falls = edges(profile)
    forward = _read_edges(places, falls)
    if forward is not None:
        return forward
    last = len(profile) - 1
    back = _read_edges((last - places)[::-1], ~falls[::-1])
    return back and Stripe(back.digits, last - back.start, last - back.end)


def _read_edges(places: np.ndarray, falls: np.ndarray) -> Stripe | None:
    """Return the first EAN-13 among edges (n,), read from left to right."""
    if len(places) <= STRIPES:
        return None
    runs = np.lib.stride_tricks.sliding_window_view(np.diff(places), STRIPES)
    unit = runs.sum(axis=1, keepdims=True) / MODULES
    guards = runs[:, [0, 1, 2, 27, 28, 29, 30, 31, 56, 57, 58]] / unit
    fits = falls[: len(runs)] & (np.abs(guards - 1) < TOLERANCE).all(axis=1)
    for start in np.flatnonzero(fits):
        digits = _digits(runs[start])
        if digits is not None:
            return Stripe(digits, float(places[start]), float(places[start + STRIPES]))
    return None


def _digits(runs: np.ndarray) -> str | None:
    """Return the thirteen digits of 59 stripes, or None if a stripe or the checksum is wrong."""
    groups = np.concatenate([runs[3:27], runs[32:56]]).reshape(12, 4)
    widths = 7 * groups / groups.sum(axis=1, keepdims=True)
    plain, mirrored = (
        np.abs(widths[:, None] - known[None]).max(axis=2) for known in (WIDTHS, WIDTHS[:, ::-1])
    )
    both = np.concatenate([plain, mirrored], axis=1)
    # Only the left half may be mirrored.
    both[6:, 10:] = np.inf
    found = both.argmin(axis=1)
    parity = "".join("1" if place >= 10 else "0" for place in found[:6])
    if both.min(axis=1).max() > TOLERANCE or parity not in MIRRORED:
        return None
    digits = str(MIRRORED.index(parity)) + "".join(str(place % 10) for place in found)
    return digits if check_digit(digits[:12]) == digits[12] else None


def read_picture(gray: np.ndarray) -> tuple[str, np.ndarray] | None:
    """Return digits and corners (4, 2) of the EAN-13 in a picture (height, width), or None.

    Lines in eight directions cross the picture: bars are less than half as high as wide, so one of
    the lines crosses all of them. The same digits must be on two lines, since a checksum of one
    digit lets one error in ten pass.
    """
    height, width = gray.shape
    center, reach = np.array([width - 1, height - 1]) / 2, np.hypot(width, height) / 2
    for angle in np.radians(np.arange(0, 180, 22.5)):
        along = np.array([np.cos(angle), np.sin(angle)])
        across = np.array([-along[1], along[0]])
        seen: dict[str, list[np.ndarray]] = {}
        for offset in np.linspace(-0.6, 0.6, 17) * reach:
            middle = center + offset * across
            steps, profile = sample_line(gray, middle, along, reach)
            stripe = read_line(profile) if len(profile) > MODULES else None
            if stripe is not None:
                ends = np.interp([stripe.start, stripe.end], np.arange(len(steps)), steps)
                seen.setdefault(stripe.digits, []).append(middle + ends[:, None] * along)
        for digits, lines in seen.items():
            if len(lines) > 1:
                return digits, np.concatenate([lines[0], lines[-1][::-1]])
    return None


def sample_line(
    gray: np.ndarray, middle: np.ndarray, along: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return steps (n,) along a line and the brightness there, within the picture.

    Two samples a pixel, between pixels by bilinear interpolation.
    """
    height, width = gray.shape
    steps = np.arange(-reach, reach, 0.5)
    x, y = middle[0] + steps * along[0], middle[1] + steps * along[1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    x, y = x[inside], y[inside]
    left, top = x.astype(int), y.astype(int)
    right, low = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    dx, dy = x - left, y - top
    upper = gray[top, left] * (1 - dx) + gray[top, right] * dx
    lower = gray[low, left] * (1 - dx) + gray[low, right] * dx
    return steps[inside], upper * (1 - dy) + lower * dy
