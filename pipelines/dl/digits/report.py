"""Score the served predictions; draw filters, mistakes, attacks, sums and letters."""

from collections.abc import Iterator, Mapping

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from slipway.kits.class_report import class_scores, confusion, learning_curves
from slipway.kits.drawing_report import draw_examples, example_drawings
from slipway.kits.drawings import digit_batch
from slipway.kits.image_classification.report import mistakes, variants
from slipway.media import encode_png
from slipway.reporting import Evaluation, plots
from slipway.training import Candidate
from slipway.training.selection import bootstrap_interval

from .attacks import EPSILONS, STATED, pgd
from .letters import draw_letter
from .model import OTHERS, DigitReader, Handwriting, WrittenDigit
from .networks import RECIPES, Recipe, restored, turned

EXAMPLES = [Handwriting(image=encode_png(picture)) for picture in example_drawings("863724")]
# Letters that are drawn for the report.
SHOWN_LETTERS = "AaBbGgQq"
# Test pictures that are attacked for the report.
ATTACKED = 6


def score(*, predictions: list[WrittenDigit], labels: list[str]) -> dict[str, float]:
    right = np.array([each.label for each in predictions]) == labels
    low, high = bootstrap_interval(lambda rows: float(right[rows].mean()), len(right), seed=0)
    others = {
        name: float(np.mean(np.array([getattr(each, field) for each in predictions]) == labels))
        for name, field in OTHERS.items()
    }
    return {
        "accuracy": float(right.mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "baseline_accuracy": others["linear"],
        "mlp_accuracy": others["mlp"],
        "defended_accuracy": others["defended"],
        **{
            name: value
            for name, value in class_scores(predictions, labels).items()
            if name != "accuracy"
        },
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    known = {each.name: each for each in evaluation.candidates}
    network = restored(evaluation.weights / "model.onnx", RECIPES[evaluation.chosen])
    defended = restored(evaluation.weights / "defended.onnx", Recipe("cnn"))
    model = DigitReader()
    model.load(evaluation.weights)
    yield "drawings", draw_examples(EXAMPLES, model.predict(EXAMPLES))
    # On few rows, as in tests, a network without convolutions may be chosen.
    convolutional = RECIPES[evaluation.chosen].kind == "cnn"
    yield "features", features(network if convolutional else defended)
    yield (
        "learning_curves",
        learning_curves(
            Evaluation(**vars(evaluation) | {"candidates": [known[name] for name in RECIPES]}),
            "accuracy",
        ),
    )
    title = "Augmentation: turned, slanted, scaled and moved"
    yield "augmentation", variants(evaluation.train.records[:4], turned, title)
    yield "confusion", confusion(evaluation)
    yield "mistakes", mistakes(evaluation)
    yield "attacked_digits", attacked_digits(evaluation, network, defended)
    yield "attacks", attacks(known)
    yield "sums", sums(known)
    yield "letters", letters(known["letters_cnn"])


def features(network: nn.Sequential) -> Figure:
    """Draw the filters of the first layer, and the maps of both layers for an example."""
    image = torch.from_numpy(digit_batch(EXAMPLES[:1])["images"])
    filters = network[0].weight.detach().numpy()[:, 0]
    with torch.inference_mode():
        first, second = (network[:last](image)[0].numpy() for last in (2, 5))
    # Of the second layer, the maps that respond most.
    strongest = np.argsort(-second.sum(axis=(1, 2)), kind="stable")[: len(filters)]
    limit = np.abs(filters).max()
    colours = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    figure, grid = plt.subplots(6, 8, figsize=(7.6, 5.9))
    shown = [
        *((each, colours) for each in filters),
        *((each, {"cmap": "gray", "vmin": 0}) for each in first),
        *((each, {"cmap": "gray", "vmin": 0}) for each in second[strongest]),
    ]
    for axes, (each, options) in zip(grid.flat, shown, strict=True):
        axes.imshow(each, **options)
        axes.set(xticks=[], yticks=[])
    for row, text in (
        (0, "filters of\nlayer 1"),
        (2, "their maps\nof an 8"),
        (4, "16 maps of\nlayer 2"),
    ):
        grid[row, 0].set_ylabel(text)
    figure.suptitle("Red weights look for light, blue ones for dark; maps show where it is found")
    return figure


def attacked_digits(evaluation: Evaluation, network: nn.Module, defended: nn.Module) -> Figure:
    """Draw test digits, the change that PGD finds for each network, and both answers."""
    records = evaluation.test.records[:ATTACKED]
    labels = WrittenDigit.numbers(evaluation.test.labels[:ATTACKED])
    images = torch.from_numpy(digit_batch(records)["images"])
    figure, grid = plt.subplots(3, ATTACKED, figsize=(7.6, 4.3))
    rows = {"as it is": (network, images)}
    for name, module in (
        ("plain network,\nattacked", network),
        ("defended one,\nattacked", defended),
    ):
        rows[name] = module, pgd(module, images, torch.from_numpy(labels), STATED)
    for line, (name, (module, shown)) in zip(grid, rows.items(), strict=True):
        with torch.inference_mode():
            answers = module(shown).argmax(dim=1).tolist()
        line[0].set_ylabel(name)
        for axes, image, answer, label in zip(line, shown, answers, labels, strict=True):
            axes.imshow(image[0].numpy(), cmap="gray", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
            colour = plots.ACCENT if answer == label else "tab:red"
            axes.set_title(f"read as {answer}", loc="center", color=colour, size=9)
    figure.suptitle(f"Each pixel changed by at most {STATED:g} of the range (PGD, test digits)")
    return figure


def attacks(known: Mapping[str, Candidate]) -> Figure:
    """Draw the accuracy of the plain and the defended network by the size of the attack."""
    figure, axes = plots.panels(2)
    names = {"cnn": "plain network", "defended": "trained against attacks"}
    for panel, (name, title) in zip(axes, names.items(), strict=True):
        curves = known[f"{name}_attacked"].curves
        for kind, colour in (("fgsm", plots.PALE), ("pgd", plots.ACCENT)):
            label = {"fgsm": "one step (FGSM)", "pgd": "20 steps (PGD)"}[kind]
            panel.plot(EPSILONS, curves[kind], "o-", color=colour, label=label, markersize=4)
        panel.axhline(0.1, color=plots.INK, linestyle=":", linewidth=0.8)
        panel.set(xlabel="largest change of a pixel (0 to 1)", ylim=(0, 1.02), title=title)
        panel.set_ylabel("accuracy on rows held out")
    axes[0].legend()
    return figure


def sums(known: Mapping[str, Candidate]) -> Figure:
    """Draw what two networks learn from nothing but the sums of two digits."""
    apart, whole = known["digits_from_sums"], known["sum_as_class"]
    figure, (left, right) = plots.panels(2)
    for each, colour in ((apart, plots.ACCENT), (whole, plots.PALE)):
        losses = each.curves["loss"]
        left.plot(range(1, len(losses) + 1), losses, "o-", color=colour, label=each.name)
    left.set(xlabel="epoch", ylabel="loss of the sum", title="Learning from sums alone")
    left.legend()
    errors = [
        100 * (1 - value)
        for value in (
            whole.metrics["sum_accuracy"],
            apart.metrics["sum_accuracy"],
            apart.metrics["digit_accuracy"],
        )
    ]
    names = [
        "sum, as one\nof 19 classes",
        "sum of two\nread digits",
        "single digit,\nnever labelled",
    ]
    plots.bars(right, names, errors, "Errors on rows held out", fmt="{:.1f} %", size=9)
    right.set_ylabel("errors (%)")
    return figure


def letters(tried: Candidate) -> Figure:
    """Draw letters of training and of test fonts, and what the network confuses in test fonts."""
    generator = np.random.default_rng(0)
    fonts = {
        "learned": ("DejaVuSans", "DejaVuSansMono-Oblique", "DejaVuSerif-Bold"),
        "test": ("STIXGeneral", "cmss10", "cmti10"),
    }
    rows = {f"{part}:\n{font}": font for part, names in fonts.items() for font in names}
    sheet = [
        np.hstack([draw_letter(each, font, generator) for each in SHOWN_LETTERS])
        for font in rows.values()
    ]
    figure, (left, right) = plots.panels(2, height=3.4)
    left.imshow(np.vstack(sheet), cmap="gray")
    left.set(xticks=[], yticks=14 + 28 * np.arange(len(rows)), title="Synthetic letters")
    left.set_yticklabels(list(rows), size=7)
    confused = {each: 100 * share for each, share in tried.parameters["confused"].items()}
    names = ["{} read as {}".format(*each.split()) for each in confused]
    title = "Most frequent confusions in test fonts"
    drawn = plots.bars(right, names, list(confused.values()), title, horizontal=True, fmt="{:.0f}")
    for bar, pair in zip(drawn[0], confused, strict=True):
        true, answer = pair.split()
        bar.set_color(plots.PALE if true.lower() == answer.lower() else plots.ACCENT)
    right.set_xlabel("share of the letter's pictures (%)")
    handles = [Rectangle((0, 0), 1, 1, color=each) for each in (plots.PALE, plots.ACCENT)]
    right.legend(handles, ["differ only in case", "different letters"], loc="lower right")
    return figure
