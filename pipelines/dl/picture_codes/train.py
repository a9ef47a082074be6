"""Autoencoders compared with PCA on clean and on noisy pictures.

The simplest candidate within one standard error of the best mean PSNR is trained on all pictures.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from slipway.contract import Record
from slipway.deep import Plan, export_onnx
from slipway.kits.generative.study import PictureToPictureStudy
from slipway.kits.metrics.pictures import psnr
from slipway.kits.study import Arrays, TensorRows
from slipway.training import Candidate, Fitted, LabelledRows

from .components import Components
from .model import NUMBERS, CleanPicture, Decoded, SmallPicture, decoded
from .network import Autoencoder, FromCode, Recipe, WithCode


class CodeStudy(PictureToPictureStudy[Recipe]):
    """A study of autoencoders; half of the validation pictures have noise."""

    outputs = ("pictures", "codes")
    noise = 0.0

    def exported(self, module: nn.Module) -> nn.Module:
        assert isinstance(module, Autoencoder)
        return WithCode(module)

    def validate(self, module: nn.Module, rows: TensorRows) -> dict[str, float]:
        """Return the PSNR without and with noise, and the mean of both."""
        clean = rows.inputs["images"]
        generator = torch.Generator().manual_seed(self.seed)
        noise = self.noise * torch.randn(clean.shape, generator=generator)
        noisy = (clean + noise).round().clamp(0, 255).to(torch.uint8)
        wanted = rows.targets["pictures"].numpy()
        ratios = [
            picture_ratios(wanted, self._run(self.exported(module), {"images": each})["pictures"])
            for each in (clean, noisy)
        ]
        return mean_ratios(*ratios)

    def curve(self, outputs: Arrays, rows: TensorRows) -> float:
        """Return the PSNR without noise."""
        return float(picture_ratios(rows.targets["pictures"].numpy(), outputs["pictures"]).mean())

    def predictions(self, records: list[Any], outputs: Arrays) -> Sequence[Record]:
        return decoded(self.arrays(records)["images"] / 255, outputs["pictures"], outputs["codes"])


def picture_ratios(wanted: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Return the PSNR (rows,) of brightness `made` to bytes `wanted` (rows, 3, height, width)."""
    return np.array([psnr(*pair) for pair in zip(wanted, np.round(255 * made), strict=True)])


def mean_ratios(clean: np.ndarray, noisy: np.ndarray) -> dict[str, float]:
    """Return the means of PSNR (rows,) by kind, and of both with its standard error."""
    both = (clean + noisy) / 2
    return {
        "psnr": float(both.mean()),
        "clean_psnr": float(clean.mean()),
        "noisy_psnr": float(noisy.mean()),
        "psnr_se": float(both.std(ddof=1) / np.sqrt(len(both))),
    }


def augment(pair: tuple[torch.Tensor, torch.Tensor], recipe: Recipe) -> Any:
    """Mirror half of the pictures, and add noise of random strength to the input."""
    images, wanted = pair
    chosen = (torch.rand(len(images)) < 0.5)[:, None, None, None]
    images, wanted = (torch.where(chosen, each.flip(3), each) for each in (images, wanted))
    if recipe.noise:
        strength = recipe.noise / 255 * torch.rand(len(images), 1, 1, 1)
        images = (images + strength * torch.randn(images.shape)).clamp(0, 1)
    return images, wanted


def plan(recipe: Recipe, epochs: int) -> Plan:
    return Plan(epochs, 0.003, "one_cycle")


def fit(
    *,
    train: LabelledRows[SmallPicture, CleanPicture],
    weights: Path,
    seed: int,
    held_out: int,
    epochs: int,
    noise: float,
) -> Fitted:
    """Choose an autoencoder by its PSNR on held-out rows; then train it on all pictures."""
    found: list[Components] = []

    def network(recipe: Recipe) -> nn.Module:
        return Autoencoder(found[0], recipe.pca_start)

    study = CodeStudy(
        Decoded, network, channels=3, weights=weights, seed=seed, augment=augment, plan=plan
    )
    study.noise = noise
    learned, validation = study.split(study.tensors(train), held_out)
    found.append(Components.from_pictures(learned.inputs["images"].numpy() / 255, NUMBERS))
    recipes = {
        "autoencoder": Recipe(),
        "pca_start": Recipe(pca_start=True),
        "denoising": Recipe(pca_start=True, noise=1.5 * noise),
    }
    study.compare(train, recipes, held_out=held_out, epochs=epochs)
    fitted = study.refit_best(train, references=[pca_candidate(study, found[0], validation)])
    served = study.modules[f"{fitted.chosen} on all"]
    assert isinstance(served, Autoencoder)
    example = {"codes": torch.zeros(2, NUMBERS)}
    export_onnx(FromCode(served), example, ("pictures",), weights, "decoder.onnx")
    return fitted


def pca_candidate(study: CodeStudy, components: Components, validation: TensorRows) -> Candidate:
    """Return the PCA of equal size, validated as the autoencoders are."""
    # Before its training, the autoencoder is the PCA.
    metrics = study.validate(Autoencoder(components, pca_start=True), validation)
    return Candidate("baseline", metrics, {"numbers": NUMBERS})
