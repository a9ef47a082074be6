"""Score restored pictures and found ones, and show curves, degradations and searches."""

from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.kits.metrics.pictures import psnr, ssim
from slipway.media import decode_image
from slipway.reporting import Evaluation, plots

from .enhancing import level_counts, to_gray
from .metrics import interval
from .model import Enhanced, Histograms, Original, Photo
from .pictures import CHANGES
from .reference import identical_share
from .retrieval import found, make_search

# A photograph of the test split, made dull and darker to the right.
PHOTO = Path(__file__).with_name("photo.jpg").read_bytes()
# A picture of OpenCV's with much white.
REFERENCE = Path(__file__).with_name("reference.jpg").read_bytes()
SEED = 8
EXAMPLES = [
    Photo(image=PHOTO),
    Photo(image=PHOTO, method="clahe", clip_limit=4, tiles=8),
    Photo(image=PHOTO, method="equalize"),
]
# The histogram and the measure of the baseline for finding pictures.
BASELINE = ("pixels", "distance")


def score(*, predictions: list[Enhanced], labels: list[Original]) -> dict[str, float]:
    """Return what the served method gains, and how often the best histogram finds a picture."""
    results = [decode_image(each.image) for each in predictions]
    originals = [decode_image(each.image) for each in labels]
    names = [each.picture for each in labels]
    before = np.array([each.degraded_psnr for each in labels])
    pairs = list(zip(originals, results, strict=True))
    after = np.array([psnr(*pair) for pair in pairs])
    low, high = interval(after - before, names)
    equalized = np.array([each.equalized_psnr for each in labels])
    search = make_search("test", SEED)
    histogram, measure = predictions[0].compared_by.split()
    hits, baseline = (
        found(search, *pair).astype(float) for pair in ((histogram, measure), BASELINE)
    )
    found_low, found_high = interval(hits, search.wanted.tolist())

    def gain(psnrs: np.ndarray) -> float:
        return float((psnrs - before).mean())

    return {
        "gain_db": gain(after),
        "gain_db_low": low,
        "gain_db_high": high,
        # The baseline leaves the picture as it was sent.
        "baseline_gain_db": gain(before),
        "psnr": float(before.mean() + gain(after)),
        "baseline_psnr": float(before.mean()),
        "equalize_gain_db": gain(equalized),
        "found_share": float(hits.mean()),
        "found_share_low": found_low,
        "found_share_high": found_high,
        "baseline_found_share": float(baseline.mean()),
        "ssim": float(np.mean([ssim(*pair) for pair in pairs])),
        "opencv_identical_share": identical_share([to_gray(each) for each in originals]),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    model = Histograms()
    model.load(evaluation.weights)
    yield "enhanced", methods(model)
    yield "curves", curves(model)
    yield "retrieval", searches(evaluation.predictions[0].compared_by)


def methods(model: Histograms) -> Figure:
    """Draw a photograph after each method, over its histogram and the curve."""
    photos = {
        "sent": Photo(image=PHOTO, method="none"),
        "equalize": EXAMPLES[2],
        "chosen (auto)": EXAMPLES[0],
        "clahe, 8 x 8 tiles": EXAMPLES[1],
    }
    figure, axes = plt.subplots(2, len(photos), figsize=(7.2, 3.4))
    for column, (name, photo) in enumerate(photos.items()):
        (result,) = model.predict([photo])
        axes[0, column].imshow(decode_image(result.image) // 8 * 8)
        axes[0, column].set_title(name)
        axes[0, column].set_axis_off()
        draw_curve(axes[1, column], result)
    return figure


def draw_curve(axes: Axes, result: Enhanced) -> None:
    """Draw the histogram of a result, with the curve that made it over it."""
    axes.fill_between(range(256), result.after, color=plots.PALE)
    axes.set_yticks([])
    axes.set_xticks([0, 128, 255])
    over = axes.twinx()
    over.plot(result.curve, color=plots.ACCENT)
    over.fill_between(
        range(256), result.curve_low, result.curve_high, color=plots.ACCENT, alpha=0.2
    )
    over.set_ylim(0, 260)
    over.set_yticks([])


def curves(model: Histograms) -> Figure:
    """Draw the levels of the three channels, and a match to a reference."""
    (plain,) = model.predict([Photo(image=PHOTO)])
    (matched,) = model.predict([Photo(image=PHOTO, reference=REFERENCE)])
    figure, (left, right) = plots.panels(2, height=2.8)
    for name, color in (("red", "tab:red"), ("green", "tab:green"), ("blue", "tab:blue")):
        left.plot(getattr(plain, name), color=color, label=name)
    left.set_title("Pixels of each level in each channel")
    left.set_xlabel("level")
    left.legend()
    wanted = level_counts(to_gray(decode_image(REFERENCE)))
    for counts, color, name in (
        (matched.before, plots.PALE, "sent"),
        (matched.after, plots.ACCENT, "matched"),
        (wanted, plots.INK, "reference"),
    ):
        right.plot(np.cumsum(counts) / np.sum(counts), color=color, label=name)
    right.set_title("Share of pixels up to each brightness")
    right.set_xlabel("brightness")
    right.legend()
    return figure


def searches(compared_by: str) -> Figure:
    """Draw how often test pictures are found after each change, and changed ones as examples."""
    search = make_search("test", SEED)
    chosen = tuple(compared_by.split())
    ways = [BASELINE, ("gray", "emd"), ("rgb", "correlation"), chosen, ("chroma", chosen[1])]
    kinds = np.array(search.kinds)
    shares = {}
    for histogram, measure in dict.fromkeys(ways):
        hits = found(search, histogram, measure)
        shares[f"{histogram} {measure}"] = [float(hits[kinds == each].mean()) for each in CHANGES]
    figure, axes = plt.subplots(figsize=(7.2, 3.2))
    colours = ("#24323f", "#b8c4cc", "#7fa8b3", "#0b7189", "#d9a441")
    title = f"Share of test pictures found among {len(search.gallery)} after a change"
    plots.bars(axes, list(CHANGES), shares, title, fmt="{:.2f}", colours=colours)
    axes.set_ylim(0, 1.35)
    return figure
