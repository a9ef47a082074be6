"""Count which letter follows which, exported as one matrix product."""

from itertools import pairwise
from pathlib import Path
from string import ascii_lowercase

import numpy as np
from onnx import helper

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.graph import write_graph

from .model import Beginning, Letter, Word, next_letter, word

SIZE = len(ascii_lowercase)


def fit(*, train: LabelledRows[Beginning, str], weights: Path) -> Fitted:
    """Count the pairs of letters (26, 26) and write the graph."""
    counts = np.full((SIZE, SIZE), 0.01)
    for label in train.labels:
        for one, other in pairwise(label):
            counts[ascii_lowercase.index(one), ascii_lowercase.index(other)] += 1
    shares = counts / counts.sum(axis=1, keepdims=True)
    write_graph(
        weights / "model.onnx",
        [helper.make_node("MatMul", ["letter", "shares"], ["probabilities"])],
        inputs={"letter": SIZE},
        outputs={"probabilities": SIZE},
        constants={"shares": shares},
    )

    def framework_predict(beginnings: list[Beginning]) -> list[Word]:
        return [word(each, continued(each, shares)) for each in beginnings]

    def accuracy(predicted: list[str]) -> float:
        rows = zip(predicted, train, strict=True)
        return float(
            np.mean([one[len(each.text)] == label[len(each.text)] for one, (each, label) in rows])
        )

    common = ascii_lowercase[int(counts.sum(axis=0).argmax())]
    words = [each.text for each in framework_predict(train.records)]
    tried = [
        Candidate(
            "baseline", {"accuracy": accuracy([f"{each.text}{common}" for each in train.records])}
        ),
        Candidate("pairs", {"accuracy": accuracy(words)}),
    ]
    return Fitted(tried, "pairs", framework_predict)


def continued(beginning: Beginning, shares: np.ndarray) -> list[Letter]:
    """Return the letters that follow, by the shares (26, 26)."""
    letters: list[Letter] = []
    last = beginning.text[-1]
    for _ in range(beginning.letters):
        letters.append(next_letter(shares[ascii_lowercase.index(last)]))
        last = letters[-1].letter
    return letters
