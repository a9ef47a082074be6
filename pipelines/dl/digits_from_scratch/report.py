"""Score the served predictions; draw gradients, convergence, deep networks and drawings."""

from collections.abc import Iterator, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from slipway.kits.class_report import class_scores, confusion
from slipway.kits.drawing_report import draw_examples, example_drawings
from slipway.kits.image_classification.report import mistakes
from slipway.media import encode_png
from slipway.reporting import Evaluation, plots
from slipway.training import Candidate
from slipway.training.selection import bootstrap_interval

from .model import DigitsFromScratch, Drawing, DrawnDigit, brightness
from .network import gradient_check

EXAMPLES = [Drawing(image=encode_png(picture)) for picture in example_drawings("538429")]
COLOURS = {"sigmoid": plots.INK, "relu": plots.ACCENT}


def score(*, predictions: list[DrawnDigit], labels: list[str]) -> dict[str, float]:
    right = np.array([each.label for each in predictions]) == labels
    low, high = bootstrap_interval(lambda rows: float(right[rows].mean()), len(right), seed=0)
    linear = np.array([each.linear_label for each in predictions]) == labels
    return {
        "accuracy": float(right.mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "baseline_accuracy": float(linear.mean()),
        **{
            name: value
            for name, value in class_scores(predictions, labels).items()
            if name != "accuracy"
        },
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    model = DigitsFromScratch()
    model.load(evaluation.weights)
    known = {each.name: each for each in evaluation.candidates}
    deep = [each for name, each in known.items() if name.startswith("deep_")]
    shallow = [each for each in evaluation.candidates if each not in deep]
    yield "drawings", draw_examples(EXAMPLES, model.predict(EXAMPLES))
    yield "convergence", convergence(shallow)
    yield "gradients", gradients(evaluation, known["one_epoch_in_torch"])
    yield "deep_networks", deep_networks(deep)
    yield "hidden_units", hidden_units(evaluation)
    yield "confusion", confusion(evaluation)
    yield "mistakes", mistakes(evaluation)


def convergence(tried: Sequence[Candidate]) -> Figure:
    """Draw loss and accuracy of the candidates after each epoch."""
    figure, (left, right) = plots.panels(2)
    plots.curves(left, tried, "loss", "Loss on the training rows")
    left.set_yscale("log")
    # Room for the legend, which is that of both panels.
    left.set(ylabel="cross-entropy", ylim=(None, 60))
    left.legend(ncols=2, loc="upper right")
    plots.curves(right, tried, "accuracy", "Accuracy on rows held out")
    # The network with one step an epoch is far below; the others would be one line.
    right.set_ylim(0.88, 0.985)
    plt.setp(right.get_legend(), visible=False)
    return figure


def gradients(evaluation: Evaluation, twin: Candidate) -> Figure:
    """Draw own gradients against differences of the loss, and the losses against torch's."""
    figure, (left, right) = plots.panels(2)
    few = brightness(evaluation.test.records[:32])
    labels = DrawnDigit.numbers(evaluation.test.labels[:32])
    for name, colour in COLOURS.items():
        analytic, numeric = gradient_check(name, few, labels, seed=1)
        left.scatter(numeric, analytic, s=12, color=colour, label=name, alpha=0.7)
        ends = [min(analytic.min(), numeric.min()), max(analytic.max(), numeric.max())]
        left.plot(ends, ends, color=plots.PALE, zorder=0)
    left.set(xlabel="difference of two losses", ylabel="backpropagation")
    left.set_title("Gradient of single parameters")
    left.legend()
    steps = 200
    own, torch = (np.array(twin.curves[name])[:steps] for name in ("numpy_steps", "torch_steps"))
    right.plot(torch, color=plots.PALE, linewidth=4, label="torch")
    right.plot(own, color=plots.ACCENT, linewidth=1, label="own network")
    right.set(xlabel="step", ylabel="cross-entropy of the batch")
    right.set_title("Same weights and batches, in torch too")
    right.legend()
    return figure


def deep_networks(deep: Sequence[Candidate]) -> Figure:
    """Draw the gradients of very deep networks by layer at the start, and their losses."""
    figure, (left, right) = plots.panels(2)
    styles = ((plots.INK, 5.0), (plots.PALE, 1.5), (plots.ACCENT, 1.5))
    for each, (colour, width) in zip(deep, styles, strict=True):
        sizes = np.maximum(each.curves["gradient_by_layer"], 1e-30)
        left.plot(range(1, len(sizes) + 1), sizes, "o-", color=colour, markersize=3)
        losses = each.curves["loss"]
        right.plot(
            range(1, len(losses) + 1), losses, color=colour, linewidth=width, label=each.name
        )
    left.set_yscale("log")
    left.set(xlabel="layer, from the input to the output", ylabel="mean size of the gradient")
    left.set_title("Gradients before the first step")
    right.axhline(np.log(10), color=plots.INK, linestyle=":", linewidth=0.8)
    right.set(
        xlabel="epoch", ylabel="cross-entropy", title="Loss; dotted: all digits equally likely"
    )
    right.legend()
    return figure


def hidden_units(evaluation: Evaluation) -> Figure:
    """Draw the weights of some hidden units as pictures."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(evaluation.weights / "model.onnx").graph
    held = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    weights = held["weights_0"].T.reshape(-1, 28, 28)
    # Those with the largest weights: a unit that learns little shows the noise it began with.
    best = np.argsort(-np.abs(weights).sum(axis=(1, 2)), kind="stable")[:24]
    figure, axes = plt.subplots(3, 8, figsize=(7.6, 3.3))
    for each in axes.flat:
        each.axis("off")
    for each, unit in zip(axes.flat, best, strict=False):
        limit = np.abs(weights[unit]).max()
        each.imshow(weights[unit], cmap="RdBu_r", vmin=-limit, vmax=limit)
    figure.suptitle("What hidden units look for: red pixels raise, blue ones lower their output")
    return figure
