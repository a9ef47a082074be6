"""Score placed photos and panoramas, and show them on made and real photographs."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.media import decode_image, encode_jpeg
from slipway.reporting import Evaluation, plots
from slipway.training.selection import bootstrap_interval

from .crops import OVERLAPS
from .metrics import CLOSE, close_share, fidelity, median_error, photo_errors
from .model import Panorama, PanoramaMaker, PhotoSet, TrueScene
from .pairs import read_pairs, wall_errors

# Photos of a scene of neither split.
PHOTOS = [
    Path(__file__).with_name("photo_1.jpg").read_bytes(),
    Path(__file__).with_name("photo_2.jpg").read_bytes(),
    Path(__file__).with_name("photo_3.jpg").read_bytes(),
]
EXAMPLES = [PhotoSet(images=PHOTOS)]
SEED = 32


def matrices_of(prediction: Panorama) -> list[list[float]]:
    """Return the homographies of a panorama's photos; empty where a photo has no place."""
    return [each.matrix for each in prediction.photos]


def score(*, predictions: list[Panorama], labels: list[TrueScene]) -> dict[str, float]:
    served = [
        photo_errors(matrices_of(each), label.matrices)
        for each, label in zip(predictions, labels, strict=True)
    ]
    errors = [off for off, _ in served]
    baseline = [photo_errors(each.baseline, each.matrices)[0] for each in labels]
    low, high = close_interval(errors)
    strangers = [placed for _, each in served for placed in each]
    likeness = [
        fidelity(
            decode_image(each.panorama),
            decode_image(label.scene),
            matrices_of(each),
            label.matrices,
        )
        for each, label in zip(predictions, labels, strict=True)
        if each.joined
    ]
    kept = [each for each in likeness if each is not None]
    return {
        "close_share": close_share(errors),
        "close_share_low": low,
        "close_share_high": high,
        "baseline_close_share": close_share(baseline),
        "corner_error_median": median_error(errors),
        "placed_share": float(np.mean([np.isfinite(error) for each in errors for error in each])),
        "strangers_placed": float(np.mean(strangers)) if strangers else 0.0,
        "psnr": float(np.mean([each.psnr for each in kept])) if kept else 0.0,
        "seam_error": float(np.mean([each.seam_error for each in kept])) if kept else 0.0,
        **wall_errors(),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    model = PanoramaMaker()
    model.load(evaluation.weights)
    yield "panorama", steps(model)
    yield "matches", matches(model)
    yield "errors", errors_by_overlap(evaluation)
    yield "pairs", real_pairs(model)


def show(axes: Axes, image: np.ndarray, title: str = "") -> None:
    """Show a picture without axes, in fewer colors, so that the file stays small."""
    # Smoothed, since noise cannot be compressed.
    axes.imshow(cv2.GaussianBlur(image, (0, 0), 0.8) // 16 * 16, interpolation="nearest")
    axes.set_title(title, size=9)
    axes.set_axis_off()


def steps(model: PanoramaMaker) -> Figure:
    """Draw photos, what they are when pasted, and the panorama."""
    (made,) = model.predict(EXAMPLES[:1])
    figure = plt.figure(figsize=(7.2, 3.6))
    grid = figure.add_gridspec(2, 6)
    for place, photo in enumerate(PHOTOS):
        show(
            figure.add_subplot(grid[0, 2 * place : 2 * place + 2]),
            decode_image(photo),
            f"photo {place + 1}",
        )
    show(figure.add_subplot(grid[1, :3]), decode_image(made.unblended or b""), "pasted")
    title = "panorama"
    show(figure.add_subplot(grid[1, 3:]), decode_image(made.panorama), title)
    return figure


def matches(model: PanoramaMaker) -> Figure:
    """Draw all matches of two photos, and those that agree with one homography."""
    (made,) = model.predict([PhotoSet(images=PHOTOS[:2])])
    sheet = decode_image(made.matches or b"")
    half = sheet.shape[0] // 2
    (found,) = made.pairs
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 2))
    show(axes[0], sheet[: half - 3], f"{found.matches} matches")
    show(
        axes[1], sheet[half + 3 :], f"{found.agreeing} agree to {found.error:.2f} pixels on average"
    )
    return figure


def errors_by_overlap(evaluation: Evaluation) -> Figure:
    """Draw the share of photos whose corners are close, by overlap, and the errors of all."""
    labels = evaluation.test.labels
    served = [
        photo_errors(matrices_of(each), label.matrices)[0]
        for each, label in zip(evaluation.predictions, labels, strict=True)
    ]
    baseline = [photo_errors(each.baseline, each.matrices)[0] for each in labels]
    figure, (left, right) = plots.panels(2, height=3)
    for errors, color, name in (
        (served, plots.ACCENT, "served"),
        (baseline, plots.INK, "baseline"),
    ):
        groups = [
            [each for each, label in zip(errors, labels, strict=True) if label.overlap == overlap]
            for overlap in OVERLAPS
        ]
        kept = [(overlap, each) for overlap, each in zip(OVERLAPS, groups, strict=True) if each]
        places = [100 * overlap for overlap, _ in kept]
        left.plot(places, [close_share(each) for _, each in kept], "o-", color=color, label=name)
        bounds = [close_interval(each) for _, each in kept]
        left.fill_between(places, *np.transpose(bounds), color=color, alpha=0.15)
    left.invert_xaxis()
    left.set_xlabel("overlap of neighbors in percent")
    left.set_ylabel("share of photos")
    left.set_ylim(-0.04, 1.04)
    left.set_title(f"Photos placed within {CLOSE:.0f} pixels")
    left.legend()
    values = [
        [min(error, 20) for each in errors for error in each if np.isfinite(error)]
        for errors in (served, baseline)
    ]
    right.hist(
        values,
        bins=20,
        range=(0, 20),
        color=[plots.ACCENT, plots.INK],
        label=["served", "baseline"],
    )
    right.set_xlabel("corner error in pixels (20 and more at the right end)")
    right.set_ylabel("placed test photos")
    right.legend()
    return figure


def close_interval(errors: list[list[float]]) -> tuple[float, float]:
    """Return the 95 % interval of the share of close photos, by a bootstrap over sets."""

    def share(rows: np.ndarray) -> float:
        return close_share([errors[row] for row in rows])

    return bootstrap_interval(share, len(errors), seed=SEED)


def real_pairs(model: PanoramaMaker) -> Figure:
    """Draw real pairs of photographs and their panoramas."""
    pairs = read_pairs()
    figure, axes = plt.subplots(len(pairs), 3, figsize=(7.2, 3.7))
    for row, (name, photos) in zip(axes, pairs.items(), strict=True):
        images = [encode_jpeg(each, quality=90) for each in photos]
        (made,) = model.predict([PhotoSet(images=images)])
        show(row[0], photos[0][::2, ::2], name)
        show(row[1], photos[1][::2, ::2])
        picture = decode_image(made.panorama)
        show(
            row[2],
            picture[::2, ::2],
            f"gains {made.photos[0].gain:.2f} and {made.photos[1].gain:.2f}",
        )
    return figure
