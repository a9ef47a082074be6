"""Test metrics of the served predictions, and pictures of overfitting and its cures.

The licence of the photographs does not allow to show them. What is drawn is a cat of scikit-image's
(CC0), and cats and dogs of CIFAR-10, which no training saw.
"""

from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.datasets import fetch
from slipway.kits.centered import square_pixels
from slipway.kits.class_report import class_scores, confusion
from slipway.kits.classes import ClassRecord
from slipway.kits.image_classification.report import mistakes, show, variants
from slipway.kits.images import image_batch
from slipway.kits.pixel_baseline import fit_linear, linear_probabilities
from slipway.kits.readers.archive import by_folder
from slipway.media import encode_jpeg
from slipway.reporting import Evaluation, plots
from slipway.training.batches import predict_all
from slipway.training.calibration import Reliability
from slipway.training.candidates import Candidate
from slipway.training.selection import bootstrap_interval

from .augmentation import changed
from .data import splits
from .model import LABELS, SIDE, CatsDogs, Pet, PetPhoto
from .train import CELLS

HERE = Path(__file__).parent
EXAMPLES = [PetPhoto(image=(HERE / name).read_bytes()) for name in ("dog.jpg", "cat.jpg")]
CIFAR_SHOWN = 200


def score(*, predictions: list[Pet], labels: list[str]) -> dict[str, float]:
    """Return the metrics with an interval, and those of the baseline on the same photographs."""
    right = np.array([each.label for each in predictions]) == np.array(labels)
    low, high = bootstrap_interval(lambda rows: float(right[rows].mean()), len(right), seed=0)
    linear = baseline(labels)
    return {
        **class_scores(predictions, labels),
        "accuracy_low": low,
        "accuracy_high": high,
        "baseline_accuracy": linear["accuracy"],
        "baseline_log_loss": linear["log_loss"],
    }


def baseline(labels: list[str]) -> dict[str, float]:
    """Return the metrics of the linear classifier on the first test rows, whose labels these are.

    Predictions and labels alone are scored, so the photographs are read from the data set.
    """
    rows = splits(fetch("cats_dogs_2k"))
    learned, tested = zip(*rows["train"], strict=True), rows["test"][: len(labels)]
    records, names = learned
    linear = fit_linear(list(records), Pet.numbers(list(names)), CELLS)
    found = linear_probabilities(linear, [record for record, _ in tested], CELLS)
    return class_scores(Pet.from_probabilities(found), labels)


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield "overfitting", overfitting(evaluation.candidates)
    figure, axes = plt.subplots(figsize=(4.6, 3.6))
    certain = np.array([each.probability for each in evaluation.predictions])
    right = [
        each.label == label
        for each, label in zip(evaluation.predictions, evaluation.test.labels, strict=True)
    ]
    curve = Reliability.from_predictions(certain, np.array(right), 6)
    plots.reliability(axes, curve, "Calibration (test rows)")
    axes.set(xlabel="probability of the answer", ylabel="share that is right")
    axes.set(xlim=(0.45, 1.02), ylim=(0.3, 1.05))
    yield "calibration", figure
    yield "confusion", confusion(evaluation)
    model = CatsDogs()
    model.load(evaluation.weights)
    others = cifar_pets()
    shown = [record for record, _ in others[:1]]
    cat = PetPhoto(image=encode_jpeg(square_pixels(EXAMPLES[1].image, SIDE)))
    yield (
        "augmentation",
        variants([cat, *shown], changed, "Augmentation: no picture comes twice", 4),
    )
    yield "elsewhere", elsewhere(model, others)
    keep_mistakes(evaluation)


def overfitting(tried: list[Candidate]) -> Figure:
    """Draw the loss on learned and on new rows of each training, and the epoch of its minimum."""
    trained = [each for each in tried if each.curves and not each.name.endswith("_stopped")]
    figure, panels = plots.panels(len(trained), height=3.2)
    for axes, each in zip(panels, trained, strict=True):
        loss_curves(axes, each)
    panels[0].set_ylabel("log loss")
    panels[len(panels) // 2].legend(loc="upper left")
    return figure


def loss_curves(axes: Axes, tried: Candidate) -> None:
    """Draw both losses of one training by epoch."""
    learned, new = (np.array(tried.curves[key]) for key in ("train_log_loss", "log_loss"))
    epochs = np.arange(1, len(new) + 1)
    axes.plot(epochs, learned, color=plots.PALE, label="learned photographs")
    axes.plot(epochs, new, color=plots.ACCENT, label="photographs held out")
    axes.fill_between(epochs, learned, new, where=new > learned, color=plots.ACCENT, alpha=0.08)
    best = int(new.argmin())
    axes.axvline(best + 1, color=plots.INK, linestyle=":", linewidth=1)
    axes.plot(best + 1, new[best], "o", color=plots.INK, markersize=4)
    text = f"epoch {best + 1}: {new[best]:.2f} "
    axes.annotate(text, (best + 1, 0.06), size=8, ha="right")
    axes.set(ylim=(0, 1.5), xlabel="epoch", title=tried.name)


def elsewhere(model: CatsDogs, rows: list[tuple[PetPhoto, str]]) -> Figure:
    """Draw the surest answers, right and wrong, for the pictures of another data set."""
    predictions = predict_all(model, [record for record, _ in rows])
    answered = [(found, *row) for found, row in zip(predictions, rows, strict=True)]
    right = [each for each in answered if each[0].label == each[2]]
    wrong = [each for each in answered if each[0].label != each[2]]
    figure, grid = plt.subplots(4, 4, figsize=(3.8, 4.6))
    for row, part in ((0, right), (2, wrong)):
        surest = sorted(part, key=lambda each: -each[0].probability)[:4]
        for place, (found, record, label) in enumerate(surest):
            image, axes = image_batch([record])["images"][0], grid[row, place]
            show(axes, image)
            axes.set_title(heading(found, label), size=6, weight="normal", loc="center")
            show(grid[row + 1, place], np.full_like(image, image.mean()))
            activation(grid[row + 1, place], model, record, found)
    for axes in grid.flat:
        axes.axis("off")
    share = len(right) / len(rows)
    figure.suptitle(
        f"CIFAR-10's cats and dogs, 32x32 and never trained on: {share:.0%} of {len(rows)} right.\n"
        "Above the surest right answers, below the surest mistakes,\n"
        "each with what spoke for it",
        size=6.5,
    )
    return figure


def heading(found: ClassRecord, label: str) -> str:
    answer = f"{found.label} {found.probability:.2f}"
    return answer if found.label == label else f"{answer}, is {label}"


def activation(axes: Axes, model: CatsDogs, record: PetPhoto, found: Pet) -> None:
    """Draw the map of the predicted label over the gray picture: dark green spoke for it."""
    maps = model.activation_maps(record)
    other = next(each for each in LABELS if each != found.label)
    gray = image_batch([record])["images"][0].mean(axis=0)
    axes.imshow(gray, cmap="gray", vmin=0, vmax=1)
    spoke = maps[found.label] - maps[other]
    limit = float(np.abs(spoke).max())
    extent = (-0.5, SIDE - 0.5, SIDE - 0.5, -0.5)
    axes.imshow(
        spoke,
        cmap="BrBG",
        vmin=-limit,
        vmax=limit,
        alpha=0.55,
        extent=extent,
        interpolation="bicubic",
    )


def cifar_pets() -> list[tuple[PetPhoto, str]]:
    """Return the first test pictures of cats and of dogs in CIFAR-10, in turn."""
    by_label: dict[str, list[PetPhoto]] = {label: [] for label in LABELS}
    archive = fetch("cifar10_jpeg").path("cifar10_jpeg.tar.xz")
    for label, name, content in by_folder(archive):
        if label in by_label and name.startswith("test/"):
            by_label[label].append(PetPhoto(image=content))
    pairs = zip(*(each[:CIFAR_SHOWN] for each in by_label.values()), strict=True)
    return [row for pair in pairs for row in zip(pair, LABELS, strict=True)]


def keep_mistakes(evaluation: Evaluation) -> None:
    """Draw the surest mistakes among the test photographs beside the weights: not to be shown."""
    folder = evaluation.weights.parent / "volatile"
    folder.mkdir(parents=True, exist_ok=True)
    plots.save(mistakes(evaluation), folder / "mistakes.png")
