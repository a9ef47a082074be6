"""A support vector machine with an RBF kernel: trained by scikit-learn, exported by our own graph.

scikit-learn trains one machine for each pair of classes, and the class with the most votes wins.
Here votes are soft: a vote is the sigmoid of the steep decision, and the probabilities are the
softmax of the sums of votes. With a very steep sigmoid the label is scikit-learn's own.
"""

from itertools import combinations
from typing import Any, Self

import numpy as np
from onnx import TensorProto
from scipy.special import expit, softmax
from skl2onnx import update_registered_converter
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.svm import SVC

# Whole votes: a sigmoid this steep is 0 or 1 for every decision that float32 can tell from 0.
WHOLE_VOTES = 1e6
# Queries whose kernel is held in memory at once.
BATCH = 1000


class Svm(ClassifierMixin, BaseEstimator):
    """An RBF machine for each pair of classes; `reach` multiplies scikit-learn's gamma `scale`."""

    def __init__(
        self, C: float = 1.0, reach: float = 1.0, steepness: float = 8.0, sharpness: float = 3.0
    ) -> None:
        self.C, self.reach = C, reach
        self.steepness, self.sharpness = steepness, sharpness

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        numbers = np.asarray(X, dtype=np.float64)
        self.gamma_ = self.reach / (numbers.shape[1] * (numbers.var() or 1.0))
        machine = SVC(C=self.C, gamma=self.gamma_, cache_size=500).fit(numbers, y)
        self.classes_ = machine.classes_
        self.vectors_ = machine.support_vectors_
        self.pairs_ = list(combinations(range(len(self.classes_)), 2))
        self.weights_ = pair_weights(machine, self.pairs_)
        # With two classes scikit-learn turns the sign, so that the second one is positive.
        self.offsets_ = machine.intercept_ * (-1 if len(self.pairs_) == 1 else 1)
        return self

    def decisions(self, X: np.ndarray) -> np.ndarray:
        """Return the decision of each pair (rows, pairs), above 0 for the first of its classes."""
        numbers = np.asarray(X, dtype=np.float64)
        parts = [numbers[at : at + BATCH] for at in range(0, len(numbers), BATCH)]
        found = [self._kernel(part) @ self.weights_ + self.offsets_ for part in parts]
        return np.concatenate(found) if found else np.empty((0, len(self.pairs_)))

    def _kernel(self, queries: np.ndarray) -> np.ndarray:
        lengths = (queries**2).sum(axis=1)[:, None] + (self.vectors_**2).sum(axis=1)
        apart = lengths - 2 * queries @ self.vectors_.T
        return np.asarray(np.exp(-self.gamma_ * np.maximum(apart, 0)))

    def votes(self, X: np.ndarray) -> np.ndarray:
        """Return the sums of soft votes (rows, classes)."""
        signs, given = vote_matrix(self.pairs_, len(self.classes_))
        return np.asarray(expit(self.steepness * self.decisions(X)) @ signs + given)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return np.asarray(softmax(self.sharpness * self.votes(X), axis=1))

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.asarray(self.classes_[self.votes(X).argmax(axis=1)])


def pair_weights(machine: SVC, pairs: list[tuple[int, int]]) -> np.ndarray:
    """Return the weight of each support vector for each pair of classes (vectors, pairs).

    scikit-learn keeps them compressed: row k holds a vector's weights against the k-th of the
    *other* classes.
    """
    ends = np.cumsum([0, *machine.n_support_])
    weights = np.zeros((ends[-1], len(pairs)))
    for column, (first, second) in enumerate(pairs):
        for one, row in ((first, second - 1), (second, first)):
            part = slice(ends[one], ends[one + 1])
            weights[part, column] = machine.dual_coef_[row, part]
    return -weights if len(pairs) == 1 else weights


def vote_matrix(pairs: list[tuple[int, int]], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how votes for first classes add up: a matrix (pairs, classes) and a start (classes,).

    A vote v for the first class of a pair is 1 - v for the second one.
    """
    signs = np.zeros((len(pairs), classes))
    for place, (first, second) in enumerate(pairs):
        signs[place, first], signs[place, second] = 1, -1
    return signs, np.bincount([second for _, second in pairs], minlength=classes).astype(float)


def convert(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of a fitted machine to a graph of skl2onnx."""
    machine: Svm = operator.raw_operator
    signs, given = vote_matrix(machine.pairs_, len(machine.classes_))

    def constant(value: Any) -> str:
        name = scope.get_unique_variable_name("svm")
        array = np.asarray(value)
        flat: Any
        if array.dtype.kind in "USO":
            kind, flat = TensorProto.STRING, [str(each).encode() for each in array.ravel()]
        elif array.dtype.kind in "ib":
            kind, flat = TensorProto.INT64, array.ravel().astype(np.int64)
        else:
            kind, flat = TensorProto.FLOAT, array.ravel().astype(np.float32)
        container.add_initializer(name, kind, list(array.shape), flat)
        return str(name)

    def node(kind: str, *inputs: str, output: str = "", **options: Any) -> str:
        name = output or scope.get_unique_variable_name("svm")
        container.add_node(kind, list(inputs), [name], op_version=13, **options)
        return str(name)

    sent = operator.inputs[0].full_name
    label, probabilities = (each.full_name for each in operator.outputs)
    squared = node("ReduceSum", node("Mul", sent, sent), constant([1]), keepdims=1)
    lengths = node("Add", squared, constant((machine.vectors_**2).sum(axis=1)))
    product = node("MatMul", sent, constant(-2 * machine.vectors_.T))
    apart = node("Relu", node("Add", lengths, product))
    kernel = node("Exp", node("Mul", apart, constant(-machine.gamma_)))
    # The steepness is part of the weights, the sharpness part of the sums of votes.
    weighted = node("MatMul", kernel, constant(machine.steepness * machine.weights_))
    steep = node("Add", weighted, constant(machine.steepness * machine.offsets_))
    summed = node("MatMul", node("Sigmoid", steep), constant(machine.sharpness * signs))
    scores = node("Add", summed, constant(machine.sharpness * given))
    node("Softmax", scores, output=probabilities, axis=1)
    best = node("ArgMax", scores, axis=1, keepdims=0)
    node("Gather", constant(machine.classes_), best, output=label, axis=0)


update_registered_converter(
    Svm,
    "SlipwaySvm",
    calculate_linear_classifier_output_shapes,
    convert,
    options={"zipmap": [True, False, "columns"], "nocl": [True, False]},
)
