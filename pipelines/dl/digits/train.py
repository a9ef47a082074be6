"""Compare networks for digits, attack and defend one, learn from sums alone, and learn letters."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from slipway.deep import Plan, export_onnx, predict
from slipway.kits.digit_strokes import photographed
from slipway.kits.drawings import centered_digit
from slipway.kits.metrics.classes import share_error
from slipway.kits.pixel_tensors import brightness
from slipway.kits.study import TensorRows
from slipway.training import Candidate, Fitted, LabelledRows

from .attacks import ATTACKS, EPSILONS, STATED, accuracy_under, defending_loss
from .int8 import int8_copy, probabilities
from .letters import letters
from .model import Handwriting
from .networks import RECIPES, Recipe, network
from .study import DigitStudy
from .sums import Pairs, SumAsClass, SumByDigits

SumLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
# Held-out digits that the chosen network also sees as photographs.
PHOTOGRAPHS = 1000


def fit(
    *,
    train: LabelledRows[Handwriting, str],
    weights: Path,
    seed: int,
    held_out: int,
    subset: int,
    epochs: int,
    attacked: int,
    defend_epochs: int,
    pair_epochs: int,
    letter_draws: int,
    letter_epochs: int,
) -> Fitted:
    """Choose a recipe by its accuracy on held-out rows; then train it on all pictures."""
    study = DigitStudy(weights, seed)
    study.compare(train, RECIPES, held_out=held_out, subset=subset, epochs=epochs)
    rows = study.tensors(train)
    kept, held = study.split(rows, held_out, subset)
    references = [int8_candidate(study, "cnn", kept, held)]
    defended = defend(study, kept, defend_epochs)
    few = held.take(torch.arange(min(attacked, len(held))))
    for name, module in (("cnn", study.modules["cnn"]), ("defended", defended)):
        references.append(attack(f"{name}_attacked", module, few))
    references += sums(study, kept, held, pair_epochs)
    for name, module in study.modules.items():
        if name in RECIPES:
            study.add_metrics(name, {"photographed_accuracy": photographs(module, held, seed)})
    study.serve_beside("defended", defended)
    for name, recipe in (("linear", "baseline"), ("mlp", "mlp_dropout")):
        module, _ = study.train(RECIPES[recipe], rows, epochs, name=f"{recipe} on all")
        study.serve_beside(name, module)
    references += letters(study, letter_draws, letter_epochs)
    return study.refit_best(train, references=references)


def tensors(rows: TensorRows) -> tuple[torch.Tensor, torch.Tensor]:
    """Return brightness (rows, 1, 28, 28) and labels (rows,)."""
    return brightness(rows.inputs["images"]), rows.targets["labels"]


def right_share(module: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the accuracy of a network."""
    return float(np.mean(predict(module, images).argmax(dim=1).numpy() == labels.numpy()))


def photographs(module: nn.Module, held: TensorRows, seed: int) -> float:
    """Return the accuracy on held-out digits that are shown as photographs and centered again."""
    generator = np.random.default_rng(seed)
    shown = held.inputs["images"][:PHOTOGRAPHS, 0].numpy()
    centered = [centered_digit(photographed(each, generator)) for each in shown]
    images = brightness(torch.from_numpy(np.stack(centered)[:, None]))
    return right_share(module, images, held.targets["labels"][: len(images)])


def defend(study: DigitStudy, kept: TensorRows, epochs: int) -> nn.Module:
    """Return a network that was trained on attacked pictures."""
    images, labels = tensors(kept)

    def loss(module: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        return defending_loss(module, images[batch], labels[batch], 1.25 * STATED)

    plan = Plan(epochs, 0.003, "one_cycle", batch=64)
    return study.train_by("defended", lambda: network(Recipe("cnn")), loss, kept, plan)[0]


def attack(name: str, module: nn.Module, rows: TensorRows) -> Candidate:
    """Attack a network at several epsilons; the curves are its accuracies."""
    images, labels = tensors(rows)
    curves = {
        kind: accuracy_under(each, module, images, labels, EPSILONS)
        for kind, each in ATTACKS.items()
    }
    stated = EPSILONS.index(STATED)
    metrics = {"clean_accuracy": curves["fgsm"][0]}
    metrics |= {f"{kind}_accuracy": shares[stated] for kind, shares in curves.items()}
    return Candidate(name, metrics, {"epsilon": STATED, "rows": len(rows)}, curves)


def int8_candidate(study: DigitStudy, name: str, kept: TensorRows, held: TensorRows) -> Candidate:
    """Return a candidate's network with weights and activations of 8 bits, validated.

    Sizes are those of the graphs. Accuracies have three digits: kernels round differently.
    """
    images, labels = (each.numpy() for each in tensors(held))
    with TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        module = study.exported(study.modules[name])
        example = {"images": torch.zeros(2, 1, 28, 28)}
        export_onnx(module, example, study.outputs, plain.parent, plain.name)
        small = int8_copy(plain, tensors(kept)[0][:500].numpy())
        share = round(float(np.mean(probabilities(small, images).argmax(axis=1) == labels)), 3)
        sizes = {
            "kilobytes": round(small.stat().st_size / 1000),
            "float_kilobytes": round(plain.stat().st_size / 1000),
        }
    metrics = {"accuracy": share, "accuracy_se": share_error(share, len(held)), **sizes}
    return Candidate(f"{name}_int8", metrics, {"bits": 8})


def sums(study: DigitStudy, kept: TensorRows, held: TensorRows, epochs: int) -> list[Candidate]:
    """Learn from the sums of pairs in two ways; digits are labelled for the validation alone."""
    pairs, new = (Pairs.from_rows(*tensors(rows), seed=study.seed) for rows in (kept, held))
    paired = kept.take(torch.arange(len(pairs.sums)))
    paired = replace(paired, inputs={"images": pairs.images}, targets={"sums": pairs.sums})
    plan = Plan(epochs, 0.003, "one_cycle", batch=64)
    found = []
    for name, build, loss in (
        ("digits_from_sums", SumByDigits, functional.nll_loss),
        ("sum_as_class", SumAsClass, functional.cross_entropy),
    ):

        def batch_loss(
            module: nn.Module, batch: torch.Tensor, loss: SumLoss = loss
        ) -> torch.Tensor:
            return loss(module(pairs.images[batch]), pairs.sums[batch])

        module, curves = study.train_by(name, build, batch_loss, paired, plan)
        metrics = {"sum_accuracy": right_share(module, new.images, new.sums)}
        if isinstance(module, SumByDigits):
            metrics["digit_accuracy"] = right_share(module.reader, *tensors(held))
        found.append(Candidate(name, metrics, {"pairs": len(pairs.sums)}, curves))
    return found
