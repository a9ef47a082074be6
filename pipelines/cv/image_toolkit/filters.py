"""Blur, sharpen, clean and find edges in pictures, in NumPy."""

from collections.abc import Callable

import numpy as np

from .resampling import bands

# OpenCV's Gaussian weights are whole numbers in 1/256, so that 8 bits are enough.
KERNEL_BITS = 8


def by_bands(
    image: np.ndarray, radius: int, border: str, function: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return what `function` makes of the picture, which it sees in bands of rows.

    The picture is continued at its border by `radius` pixels, mirrored without its last pixel
    (`reflect`) or by that pixel (`edge`); the function returns bands without them.
    """
    around = ((radius, radius), (radius, radius)) + ((0, 0),) * (image.ndim - 2)
    padded = np.pad(image, around, mode="reflect" if border == "reflect" else "edge")
    parts = [function(padded[each.start : each.stop + 2 * radius]) for each in bands(len(image))]
    return np.concatenate(parts)


def box_blur(image: np.ndarray, size: int) -> np.ndarray:
    """Return the means over squares of `size` pixels, an odd number."""

    def mean(part: np.ndarray) -> np.ndarray:
        # A running sum: the cost does not grow with the size.
        total = part.astype(np.int64)
        for axis in (0, 1):
            start = np.zeros_like(total.take([0], axis))
            sums = np.concatenate([start, total.cumsum(axis)], axis)
            length = sums.shape[axis]
            total = sums.take(range(size, length), axis) - sums.take(range(length - size), axis)
        area = size * size
        return np.asarray((total + area // 2) // area, dtype=np.uint8)

    return by_bands(image, size // 2, "reflect", mean)


def gaussian_kernel(sigma: float) -> np.ndarray:
    """Return the weights (n,) of a Gaussian to three standard deviations on each side."""
    size = round(sigma * 6 + 1) | 1
    places = np.arange(size) - size // 2
    weights = np.exp(-0.5 * (places / sigma) ** 2)
    return np.asarray(weights / weights.sum())


def whole_kernel(kernel: np.ndarray) -> np.ndarray:
    """Return symmetric weights as whole numbers that sum to 256.

    The error of rounding one weight is carried to the next, so that it does not add up.
    """
    one, middle, error = 1 << KERNEL_BITS, len(kernel) // 2, 0.0
    weights = np.zeros(len(kernel), dtype=np.int32)
    for place in range(middle):
        wanted = kernel[place] * one + error
        weights[place] = weights[-1 - place] = round(wanted)
        error = wanted - weights[place]
    weights[middle] = one - 2 * weights[:middle].sum()
    return weights


def gaussian_blur(image: np.ndarray, sigma: float, *, fixed: bool = True) -> np.ndarray:
    """Return the picture weighted by a Gaussian, first along columns, then along rows."""
    kernel = gaussian_kernel(sigma)
    weights = whole_kernel(kernel) if fixed else kernel.astype(np.float32)
    # Whole weights sum to 256: 16 bits hold the sums along a row, 32 those of columns.
    kinds = (np.uint16, np.uint32) if fixed else (np.float32, np.float32)

    def blur(part: np.ndarray) -> np.ndarray:
        along = weighted_sums(part.astype(kinds[0]), weights.astype(kinds[0]), axis=1)
        total = weighted_sums(along.astype(kinds[1]), weights.astype(kinds[1]), axis=0)
        if fixed:
            half = np.uint32(1 << (2 * KERNEL_BITS - 1))
            return np.asarray((total + half) >> np.uint32(2 * KERNEL_BITS), dtype=np.uint8)
        return np.asarray(np.clip(np.rint(total), 0, 255), dtype=np.uint8)

    return by_bands(image, len(weights) // 2, "reflect", blur)


def weighted_sums(values: np.ndarray, weights: np.ndarray, *, axis: int) -> np.ndarray:
    """Return sums of neighbors along an axis by symmetric weights (n,); n - 1 places are lost."""
    middle, kept = len(weights) // 2, values.shape[axis] - len(weights) + 1

    def moved(place: int) -> np.ndarray:
        return values[:, place : place + kept] if axis else values[place : place + kept]

    total = moved(middle) * weights[middle]
    for place in range(middle):
        total += (moved(place) + moved(len(weights) - 1 - place)) * weights[place]
    return np.asarray(total)


def median_blur(image: np.ndarray, size: int) -> np.ndarray:
    """Return the medians over squares of `size` pixels, an odd number: it removes specks."""

    def median(part: np.ndarray) -> np.ndarray:
        height, width = (length - size + 1 for length in part.shape[:2])
        return median_of(
            [
                part[down : down + height, right : right + width]
                for down in range(size)
                for right in range(size)
            ]
        )

    return by_bands(image, size // 2, "edge", median)


def median_of(values: list[np.ndarray]) -> np.ndarray:
    """Return the medians of an odd number of arrays, place by place.

    Among one more than half of them, neither the smallest nor the largest can be the median. Both
    are dropped, and one more array is looked at: ten times as fast as sorting.
    """
    kept, later = values[: len(values) // 2 + 2], iter(values[len(values) // 2 + 2 :])
    while True:
        for place in range(1, len(kept)):
            kept[0], kept[place] = sorted_pair(kept[0], kept[place])
        for place in range(1, len(kept) - 1):
            kept[place], kept[-1] = sorted_pair(kept[place], kept[-1])
        kept = kept[1:-1]
        if len(kept) == 1:
            return kept[0]
        kept.append(next(later))


def sorted_pair(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the smaller and the larger values of two arrays."""
    return np.minimum(one, other), np.maximum(one, other)


def sharpen(image: np.ndarray, amount: float, sigma: float, *, fixed: bool = True) -> np.ndarray:
    """Return the picture plus `amount` times what a blur takes away (unsharp masking)."""
    blurred = gaussian_blur(image, sigma, fixed=fixed)
    more, less = np.float32(1 + amount), np.float32(-amount)
    result = np.empty_like(image)
    for band in bands(len(image)):
        if fixed:
            # A fused multiplication and addition: the product keeps all digits for the sum.
            taken = (blurred[band] * less).astype(np.float64)
            sharp = image[band] * np.float64(more) + taken
        else:
            sharp = image[band] * more + blurred[band] * less
        result[band] = np.clip(np.rint(sharp.astype(np.float32)), 0, 255)
    return result


def sobel_edges(gray: np.ndarray) -> np.ndarray:
    """Return the steepness (height, width) of gray values: the length of Sobel's gradient."""

    def steepness(part: np.ndarray) -> np.ndarray:
        wide = part.astype(np.int32)
        smooth = [
            wide[:-2] + 2 * wide[1:-1] + wide[2:],
            wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:],
        ]
        across, down = smooth[0][:, 2:] - smooth[0][:, :-2], smooth[1][2:] - smooth[1][:-2]
        length = np.sqrt((across**2 + down**2).astype(np.float32))
        return np.asarray(np.clip(np.rint(length), 0, 255), dtype=np.uint8)

    return by_bands(gray, 1, "reflect", steepness)
