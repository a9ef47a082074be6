"""Training with and without attention, and with three shares of teacher forcing.

The simplest recipe within one standard error of the best share of exact dates is trained on all
texts. The rules of `rules.py` are the baseline.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from slipway.deep import Plan, export_onnx
from slipway.kits.metrics.classes import share_error
from slipway.kits.metrics.sequences import exact_share
from slipway.kits.study import Arrays, TensorRows, Tensors, TorchStudy
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.selection import simplest_within_error

from .model import CalendarDate, Dates, WrittenDate
from .network import Recipe, Transcriber, negative_log_likelihood
from .rules import read_by_rules
from .symbols import END, from_symbols, to_characters, to_symbols

# From the simplest to the most complex.
RECIPES = {
    "last_state": Recipe(attention=False),
    "attention": Recipe(),
    "attention_forced_half": Recipe(teacher_forcing=0.5),
    "attention_not_forced": Recipe(teacher_forcing=0.0),
}
# Of the rows above the threshold of `confident`, this share is right on validation rows.
CONFIDENT = 0.995


class DateStudy(TorchStudy[Recipe]):
    """A study of networks that write dates; the share of exact ones decides."""

    primary = "exact"
    outputs = ("scores",)
    reader: "TorchDates"
    """Reads with the network that is served; set once that is trained."""

    def arrays(self, records: list[WrittenDate]) -> Arrays:
        return to_characters([each.text for each in records])

    def targets(self, rows: LabelledRows[WrittenDate, str]) -> Tensors:
        return {"symbols": torch.from_numpy(to_symbols(rows.labels))}

    def feed(self, inputs: Tensors) -> Tensors:
        # One thread: the steps of an LSTM are too small to be divided. With two threads, which wait
        # for each other at each step, a batch took 5 times as long while the machine was busy.
        torch.set_num_threads(1)
        longest = int(inputs["lengths"].max())
        return {**inputs, "characters": inputs["characters"][:, :longest]}

    def augmented(self, inputs: Tensors, targets: Tensors, recipe: Recipe) -> tuple[Any, Any]:
        # In training the network also gets the true symbols, for teacher forcing.
        return {**inputs, "target": targets["symbols"]}, targets

    def loss(self, outputs: Any, targets: Tensors) -> torch.Tensor:
        return negative_log_likelihood(outputs, targets["symbols"])

    def metrics(self, outputs: Arrays, rows: TensorRows) -> dict[str, float]:
        """Return metrics of greedy search, and the threshold of its probability."""
        symbols = outputs["scores"].argmax(axis=2)
        dates = [from_symbols(row) for row in symbols.tolist()]
        right = np.array([date == true for date, true in zip(dates, rows.rows.labels, strict=True)])
        exact = float(right.mean())
        threshold = confidence_threshold(greedy_probabilities(outputs["scores"]), right)
        return {"exact": exact, "exact_se": share_error(exact, len(rows)), "threshold": threshold}

    def predictions(self, records: list[Any], outputs: Arrays) -> Sequence[CalendarDate]:
        """Return the dates that a beam search finds; it asks the network step by step."""
        return self.reader.predict(records)


def greedy_probabilities(scores: np.ndarray) -> np.ndarray:
    """Return the probability (rows,) of the likeliest symbols up to the first end."""
    best, symbols = scores.max(axis=2), scores.argmax(axis=2)
    before = np.cumsum(symbols == END, axis=1) - (symbols == END) == 0
    return np.asarray(np.exp((best * before).sum(axis=1)))


def confidence_threshold(probabilities: np.ndarray, right: np.ndarray) -> float:
    """Return the least probability at and above which the share `CONFIDENT` of rows is right."""
    order = np.argsort(-probabilities, kind="stable")
    shares = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(shares >= CONFIDENT)
    return float(f"{probabilities[order[enough[-1]]]:.3f}") if len(enough) else 1.0


def plan(recipe: Recipe, epochs: int) -> Plan:
    """Return the hyperparameters of the training; gradients of LSTMs are clipped."""
    return Plan(epochs, 0.01, "one_cycle", batch=96, clip=1.0)


class TorchDates(Dates):
    """The served model with torch in place of the exported graphs."""

    def __init__(self, network: Transcriber, threshold: float) -> None:
        self._parts: dict[str, nn.Module] = {"encoder": network.encoder, "decoder": network.step}
        self._threshold = threshold

    def run(self, feeds: dict[str, np.ndarray], graph: str = "model") -> dict[str, np.ndarray]:
        with torch.inference_mode():
            found = self._parts[graph](*(torch.from_numpy(each) for each in feeds.values()))
        return {name: each.numpy() for name, each in zip(OUTPUTS[graph], found, strict=True)}


OUTPUTS = {
    "encoder": ("states", "hidden", "memory"),
    "decoder": ("scores", "next_hidden", "next_memory", "attention"),
}


def fit(
    *,
    train: LabelledRows[WrittenDate, str],
    weights: Path,
    seed: int,
    held_out: int,
    subset: int,
    epochs: int,
    final_epochs: int,
) -> Fitted:
    """Choose a recipe by its exact dates on held-out texts; then train it on all texts."""
    study = DateStudy(Transcriber, weights=weights, seed=seed, plan=plan)
    study.compare(train, RECIPES, held_out=held_out, subset=subset, epochs=epochs)
    chosen = simplest_within_error(study.tried, "exact", best="highest")
    rows = study.tensors(train)
    name = f"{chosen.name} on all"
    module, _ = study.train(RECIPES[chosen.name], rows, final_epochs, name=name)
    assert isinstance(module, Transcriber)
    export(module, study.feed({key: each[:2] for key, each in rows.inputs.items()}), weights)
    threshold = chosen.metrics["threshold"]
    (weights / "threshold.json").write_text(json.dumps(threshold) + "\n")
    shutil.rmtree(weights.parent / "volatile" / "checkpoints", ignore_errors=True)
    validation = study.split(rows, held_out)[1].rows
    study.reader = TorchDates(module, threshold)
    tried = [rules(validation), *study.tried]
    return Fitted(tried, chosen.name, lambda records: study.predictions(records, {}))


def export(network: Transcriber, example: Tensors, weights: Path) -> None:
    """Write `encoder.onnx` and `decoder.onnx`, a step, for texts of any length."""
    free = {"characters": {1: "length"}}
    export_onnx(network.encoder, example, OUTPUTS["encoder"], weights, "encoder.onnx", free)
    with torch.no_grad():
        states, hidden, memory = network.encoder(**example)
    inputs = {"symbols": torch.tensor([END, END]), "hidden": hidden, "memory": memory}
    inputs |= {"states": states, "lengths": example["lengths"]}
    free = {"states": {1: "length"}}
    export_onnx(network.step, inputs, OUTPUTS["decoder"], weights, "decoder.onnx", free)


def rules(rows: LabelledRows[WrittenDate, str]) -> Candidate:
    """Return the exact dates of the regular expressions on the same validation rows."""
    exact = exact_share(rows.labels, [read_by_rules(each.text) for each in rows.records])
    return Candidate("baseline", {"exact": exact, "exact_se": share_error(exact, len(rows))})
