"""A feed-forward network in NumPy: forward pass, cross-entropy, and backpropagation by hand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np


@dataclass(frozen=True)
class Activation:
    """A function of each layer's sums, and its derivative in terms of the function's output."""

    function: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]


def sigmoid(sums: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)), by the hyperbolic tangent, which cannot overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * sums)))


ACTIVATIONS = {
    "sigmoid": Activation(sigmoid, lambda output: output * (1 - output)),
    "relu": Activation(lambda sums: np.maximum(sums, 0), lambda output: output > 0),
}


def initial_scale(kind: str, inputs: int, outputs: int) -> float:
    """Return the standard deviation of random weights with which sums keep their size.

    `glorot` (Glorot and Bengio 2010) suits the sigmoid, `he` (He et al. 2015) ReLU, which passes
    half of its sums; `small` is 0.01, a common choice before both.
    """
    scales = {"glorot": 2 / (inputs + outputs), "he": 2 / inputs, "small": 1e-4}
    return float(np.sqrt(scales[kind]))


class DenseNetwork:
    """Layers `output = activation(input @ weights + bias)`; the last one has no activation.

    `parameters` holds the weights (inputs, outputs) and the bias (outputs,) of each layer in turn.
    """

    def __init__(self, parameters: Sequence[np.ndarray], activation: str) -> None:
        self.parameters = list(parameters)
        self.activation = ACTIVATIONS[activation]
        self.kind = activation

    @classmethod
    def random(
        cls,
        sizes: Sequence[int],
        activation: str,
        generator: np.random.Generator,
        *,
        initial: str = "",
        dtype: type = np.float32,
    ) -> Self:
        """Return an untrained network; `sizes` are the widths from the input to the output."""
        initial = initial or {"sigmoid": "glorot", "relu": "he"}[activation]
        parameters: list[np.ndarray] = []
        for inputs, outputs in pairwise(sizes):
            scale = initial_scale(initial, inputs, outputs)
            parameters.append((scale * generator.standard_normal((inputs, outputs))).astype(dtype))
            parameters.append(np.zeros(outputs, dtype))
        return cls(parameters, activation)

    @property
    def layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the weights and bias of each layer."""
        return list(zip(self.parameters[::2], self.parameters[1::2], strict=True))

    def forward(self, inputs: np.ndarray) -> list[np.ndarray]:
        """Return the inputs (rows, pixels) and the output of every layer; the last are scores."""
        outputs = [inputs]
        for place, (weights, bias) in enumerate(self.layers):
            sums = outputs[-1] @ weights + bias
            last = place == len(self.layers) - 1
            outputs.append(sums if last else self.activation.function(sums))
        return outputs

    def probabilities(self, inputs: np.ndarray) -> np.ndarray:
        """Return the probabilities (rows, classes)."""
        return softmax(self.forward(inputs)[-1])

    def loss(self, inputs: np.ndarray, labels: np.ndarray) -> float:
        """Return the mean cross-entropy of rows whose true classes are `labels` (rows,)."""
        return cross_entropy(self.forward(inputs)[-1], labels)

    def backward(self, outputs: list[np.ndarray], labels: np.ndarray) -> list[np.ndarray]:
        """Return the gradient of the mean loss for every parameter, given all layers' outputs.

        The derivative for the scores is the probabilities minus 1 at the true class. From there the
        chain rule goes back layer by layer: through the weights, then through the activation.
        """
        change = softmax(outputs[-1])
        change[np.arange(len(labels)), labels] -= 1
        change /= len(labels)
        gradients: list[np.ndarray] = []
        for place in range(len(self.layers) - 1, -1, -1):
            gradients[:0] = [outputs[place].T @ change, change.sum(axis=0)]
            if place:
                change = change @ self.layers[place][0].T
                change *= self.activation.slope(outputs[place])
        return gradients


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return the probabilities (rows, classes) of scores; the largest is subtracted first."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def cross_entropy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of minus the logarithm of the true class's probability."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    true = shifted[np.arange(len(labels)), labels]
    return float(np.mean(np.log(np.exp(shifted).sum(axis=1)) - true))


def numeric_gradients(
    network: DenseNetwork,
    inputs: np.ndarray,
    labels: np.ndarray,
    places: Sequence[tuple[int, int]],
    step: float = 1e-5,
) -> np.ndarray:
    """Return the slope of the loss at single parameters, by moving each up and down by `step`.

    A place is the number of an array in `parameters` and a position in it, counted flat. The
    network must be float64: in float32 the difference of two losses is all rounding.
    """
    slopes = []
    for array, position in places:
        values = network.parameters[array].reshape(-1)
        kept = values[position]
        losses = []
        for moved in (kept + step, kept - step):
            values[position] = moved
            losses.append(network.loss(inputs, labels))
        values[position] = kept
        slopes.append((losses[0] - losses[1]) / (2 * step))
    return np.array(slopes)


def gradient_check(
    activation: str, inputs: np.ndarray, labels: np.ndarray, *, seed: int, checked: int = 60
) -> tuple[np.ndarray, np.ndarray]:
    """Return gradients by backpropagation and by differences of the loss, for some parameters.

    The network is small and random, in float64, with two hidden layers. `checked` parameters of
    each array are drawn.
    """
    generator = np.random.default_rng(seed)
    sizes = (inputs.shape[1], 24, 16, 10)
    network = DenseNetwork.random(sizes, activation, generator, dtype=np.float64)
    inputs = inputs.astype(np.float64)
    gradients = network.backward(network.forward(inputs), labels)
    places = [
        (array, int(position))
        for array, values in enumerate(network.parameters)
        for position in generator.integers(0, values.size, min(checked, values.size))
    ]
    analytic = np.array([gradients[array].reshape(-1)[position] for array, position in places])
    return analytic, numeric_gradients(network, inputs, labels, places)


def relative_error(analytic: np.ndarray, numeric: np.ndarray) -> float:
    """Return the largest difference of two gradients, relative to the largest of both."""
    largest = max(float(np.abs(analytic).max()), float(np.abs(numeric).max()))
    return float(np.abs(analytic - numeric).max()) / largest
