"""A study of networks of different training lengths, the best of which is served as it is."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from slipway.deep import Progress
from slipway.kits.image_classification.pooled import PooledStudy, WithActivationMaps
from slipway.kits.study import TensorRows, described
from slipway.training import Candidate, Fitted
from slipway.training.selection import simplest_within_error

from .network import Recipe


@dataclass(frozen=True)
class Length:
    """The training pictures and the epochs of one candidate; without `rows`, all that there are."""

    epochs: int
    rows: int | None = None


class Mirrored(nn.Module):
    """A network that sees each picture as it is and mirrored, with the mean of both maps.

    The maps of the mirrored picture are mirrored back, so each stays a map of the picture.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = WithActivationMaps(network)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the probabilities, and the map of each label (rows, labels, height, width)."""
        direct, turned = self.network(images)[1], self.network(images.flip(3))[1]
        maps = (direct + turned.flip(3)) / 2
        return maps.mean(dim=(2, 3)).softmax(dim=1), maps


class ServedStudy(PooledStudy[Recipe]):
    """A study that serves the chosen network itself, without training it again on all rows.

    So the network that was validated is the one that is served. The rows held out never train;
    training again with them would double the time.
    """

    def exported(self, module: nn.Module) -> nn.Module:
        return Mirrored(module)

    def watched(self, module: nn.Module) -> nn.Module:
        """Return the network that sees pictures only as they are, which costs half."""
        return WithActivationMaps(module)

    def compare_lengths(
        self,
        rows: TensorRows,
        recipes: Mapping[str, tuple[Recipe, Length]],
        *,
        held_out: int,
    ) -> None:
        """Train each recipe for its length, from the simplest to the most complex; validate it."""
        for name, (recipe, length) in recipes.items():
            learned, validation = self.split(rows, held_out, length.rows)
            self._progress = Progress()
            module, curves = self.train(
                recipe, learned, length.epochs, validation=validation, name=name
            )
            parameters = {"epochs": length.epochs, "rows": len(learned), **described(recipe)}
            metrics = self.validate(module, validation)
            self.tried.append(Candidate(name, metrics, parameters, curves))

    def serve_best(self, rows: TensorRows, baseline: Candidate) -> Fitted:
        """Export the simplest network within one standard error of the best.

        `baseline` was measured on the same rows, but is not chosen: it is no network to export.
        """
        chosen = simplest_within_error(self.tried, self.primary, best=self.best).name
        return self.export(chosen, self.modules[chosen], rows, references=[baseline])
