"""Compare own networks and optimizers, check them against torch, and train the chosen one.

Beside the candidates there are networks that teach something but are not chosen: the same network
in torch, and very deep ones that do not train until they are repaired.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.deep import Progress
from slipway.kits.digit_strokes import photographed
from slipway.kits.drawings import centered_digit
from slipway.kits.metrics.classes import class_metrics, share_error
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.graph import write_graph
from slipway.training.parity import power_of_ten_above
from slipway.training.selection import simplest_within_error

from .descent import Recipe, descend
from .model import LABELS, PIXELS, Drawing, DrawnDigit, brightness, drawn_digits
from .network import DenseNetwork, gradient_check, relative_error
from .torch_twin import descend_in_torch, torch_accuracy, twin_of

DEPTH = (64,) * 12
# Repaired step by step: first the activation, then the size of the first weights.
DEEP = {
    "deep_sigmoid": Recipe("sigmoid", DEPTH),
    "deep_relu_small": Recipe("relu", DEPTH, initial="small"),
    "deep_relu": Recipe("relu", DEPTH),
}
# The network that is trained in torch, too.
TWIN = "relu"
# Held-out digits that the chosen network also sees as photographs.
PHOTOGRAPHS = 1000


def recipes(hidden: int) -> dict[str, Recipe]:
    """Return the candidates from the simplest to the most complex.

    The rates were set once, from one run on the rows held out, and not tuned further.
    """
    return {
        "baseline": Recipe(hidden=()),
        "all_rows_a_step": Recipe(hidden=(hidden,), batch=0, rate=0.5),
        "sigmoid": Recipe("sigmoid", (hidden,), rate=0.3),
        "relu": Recipe(hidden=(hidden,)),
        "momentum": Recipe(hidden=(hidden,), optimizer="momentum", rate=0.02),
        "adam": Recipe(hidden=(hidden,), optimizer="adam", rate=0.001),
    }


@dataclass(frozen=True)
class Pixels:
    """Brightness (rows, 784) float32 and label numbers (rows,)."""

    inputs: np.ndarray
    labels: np.ndarray

    def take(self, rows: np.ndarray | slice) -> "Pixels":
        """Return some of the rows."""
        return Pixels(self.inputs[rows], self.labels[rows])


def fit(
    *,
    train: LabelledRows[Drawing, str],
    weights: Path,
    seed: int,
    held_out: int,
    hidden: int,
    epochs: int,
    deep_rows: int,
    deep_epochs: int,
) -> Fitted:
    """Choose a recipe by its accuracy on held-out rows; then train it on all pictures."""
    rows = Pixels(brightness(train.records), DrawnDigit.numbers(train.labels))
    order = np.random.default_rng(seed).permutation(len(rows.labels))
    held, kept = rows.take(order[:held_out]), rows.take(order[held_out:])
    few, candidates = kept.take(slice(deep_rows)), recipes(hidden)
    # Sums of floats depend on how threads divide them.
    with threadpool_limits(limits=1):
        tried = [compared(*each, kept, held, epochs, seed) for each in candidates.items()]
        chosen = simplest_within_error(tried, "accuracy", best="highest").name
        references = [in_torch(candidates[TWIN], kept, held, seed)]
        references += [compared(*each, few, held, deep_epochs, seed) for each in DEEP.items()]
        network, linear = (
            trained(name, candidates[name], rows, epochs, seed)[0] for name in (chosen, "baseline")
        )
        further = checked(candidates[chosen], kept, held, epochs, seed)
    export(network, weights / "model.onnx")
    export(linear, weights / "linear.onnx")

    def framework_predict(drawings: list[Drawing]) -> list[DrawnDigit]:
        pixels = brightness(drawings)
        return drawn_digits(network.probabilities(pixels), linear.probabilities(pixels))

    tried = [each.with_metrics(further if each.name == chosen else {}) for each in tried]
    return Fitted([*tried, *references], chosen, framework_predict)


def trained(
    name: str, recipe: Recipe, rows: Pixels, epochs: int, seed: int, held: Pixels | None = None
) -> tuple[DenseNetwork, dict[str, list[float]]]:
    """Return a trained network and its curves; with rows held out, their accuracy is one."""
    network = recipe.network(PIXELS, len(LABELS), seed)
    progress, curves = Progress(name), dict[str, list[float]]()

    def after_epoch(epoch: int, loss: float) -> None:
        values = {"loss": loss}
        if held is not None:
            values["accuracy"] = accuracy(network, held)
        for curve, value in values.items():
            curves.setdefault(curve, []).append(value)
        progress.epoch(epoch, epochs, values)

    descend(
        *(network, rows.inputs, rows.labels, recipe),
        epochs=epochs,
        seed=seed,
        after_epoch=after_epoch,
    )
    return network, curves


def accuracy(network: DenseNetwork, rows: Pixels) -> float:
    """Return the share of rows that the network gets right."""
    return float(np.mean(network.forward(rows.inputs)[-1].argmax(axis=1) == rows.labels))


def compared(
    name: str, recipe: Recipe, kept: Pixels, held: Pixels, epochs: int, seed: int
) -> Candidate:
    """Train and validate one recipe.

    The curve `gradient_by_layer` is the mean size of the first step's gradient in each layer.
    """
    start = recipe.network(PIXELS, len(LABELS), seed)
    first = kept.take(slice(1000))
    gradients = start.backward(start.forward(first.inputs), first.labels)
    network, curves = trained(name, recipe, kept, epochs, seed, held)
    curves["gradient_by_layer"] = [float(np.abs(each).mean()) for each in gradients[::2]]
    metrics = class_metrics(network.probabilities(held.inputs), held.labels)
    metrics["accuracy_se"] = share_error(metrics["accuracy"], len(held.labels))
    parameters = {"epochs": epochs, "rows": len(kept.labels), **asdict(recipe)}
    return Candidate(name, metrics, parameters, curves)


def in_torch(recipe: Recipe, kept: Pixels, held: Pixels, seed: int) -> Candidate:
    """Train a network for one epoch in NumPy and in torch, from equal weights on equal batches."""
    own = recipe.network(PIXELS, len(LABELS), seed)
    twin = twin_of(own)
    own_losses = descend(own, kept.inputs, kept.labels, recipe, epochs=1, seed=seed)
    losses = descend_in_torch(twin, kept.inputs, kept.labels, recipe, seed=seed)
    difference = np.abs(np.array(losses) - own_losses).max()
    metrics = {
        "accuracy": torch_accuracy(twin, held.inputs, held.labels),
        "numpy_accuracy": accuracy(own, held),
        "loss_difference": power_of_ten_above(float(difference)),
    }
    curves = {"torch_steps": losses, "numpy_steps": own_losses}
    return Candidate("one_epoch_in_torch", metrics, {"library": "torch", "epochs": 1}, curves)


def checked(recipe: Recipe, kept: Pixels, held: Pixels, epochs: int, seed: int) -> dict[str, float]:
    """Return the error of the gradients, and the accuracy on photographs of held-out digits."""
    few = kept.take(slice(32))
    gradients = gradient_check(recipe.activation, few.inputs, few.labels, seed=seed)
    network, _ = trained("photographed", recipe, kept, epochs, seed)
    generator = np.random.default_rng(seed)
    shown = held.take(slice(PHOTOGRAPHS))
    pixels = np.round(shown.inputs * 255).astype(np.uint8).reshape(-1, 28, 28)
    centered = [centered_digit(photographed(each, generator)) for each in pixels]
    inputs = np.stack(centered).reshape(-1, PIXELS).astype(np.float32) / 255
    return {
        "gradient_error": power_of_ten_above(relative_error(*gradients)),
        "photographed_accuracy": accuracy(network, Pixels(inputs, shown.labels)),
    }


def export(network: DenseNetwork, file: Path) -> None:
    """Write the network as an ONNX graph: `pixels` (rows, 784) to `probabilities` (rows, 10)."""
    from onnx import helper

    activation = {"sigmoid": "Sigmoid", "relu": "Relu"}[network.kind]
    nodes, value = [], "pixels"
    constants: dict[str, np.ndarray] = {}
    for place, (weights, bias) in enumerate(network.layers):
        names = [f"weights_{place}", f"bias_{place}"]
        constants |= dict(zip(names, (weights, bias), strict=True))
        nodes.append(helper.make_node("Gemm", [value, *names], [f"sums_{place}"]))
        value = f"sums_{place}"
        if place < len(network.layers) - 1:
            nodes.append(helper.make_node(activation, [value], [f"hidden_{place}"]))
            value = f"hidden_{place}"
    nodes.append(helper.make_node("Softmax", [value], ["probabilities"], axis=1))
    write_graph(
        file,
        nodes,
        inputs={"pixels": PIXELS},
        outputs={"probabilities": len(LABELS)},
        constants=constants,
    )
