"""Compare networks on held-out rows, then train the chosen one on all rows and export it."""

import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
import torch
from torch import nn

from slipway.contract import Record
from slipway.deep import Checkpoint, Plan, Progress, deterministic, export_onnx, key_of, train
from slipway.deep import predict as predict_tensors
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.selection import simplest_within_error

Recipe = TypeVar("Recipe")
Arrays = dict[str, np.ndarray]
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class TensorRows:
    """Rows with their tensors; the first axis of each tensor is the rows."""

    rows: LabelledRows[Any, Any]
    inputs: Tensors
    targets: Tensors

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: torch.Tensor) -> "TensorRows":
        """Return the rows `index` (rows,), in that order."""
        records, labels = self.rows.records, self.rows.labels
        places = index.tolist()
        return TensorRows(
            LabelledRows([records[row] for row in places], [labels[row] for row in places]),
            {name: each[index] for name, each in self.inputs.items()},
            {name: each[index] for name, each in self.targets.items()},
        )

    def digest(self) -> str:
        """Return a digest of the tensors' content."""
        tensors = [*self.inputs.values(), *self.targets.values()]
        return key_of(*(memoryview(each.contiguous().numpy()).cast("B") for each in tensors))


class TorchStudy(ABC, Generic[Recipe]):
    """A study of networks for one kind of task; a kit's subclass says what a row's tensors are.

    `network(recipe)` builds an untrained network. `augment` changes a batch of inputs and targets
    at random. `plan(recipe, epochs)` chooses the hyperparameters.

    What is killed during a study continues where it was: finished candidates are not trained
    again. The checkpoints lie beside the folder `weights`, and end with the study.
    """

    primary: ClassVar[str]
    """The metric that decides; `metrics` also returns its standard error as `PRIMARY_se`."""
    best: ClassVar[Literal["highest", "lowest"]] = "highest"
    outputs: ClassVar[tuple[str, ...]]
    """The names of the exported graph's outputs."""
    validates_on: ClassVar[Literal["random", "last"]] = "random"
    """The rows that validate: drawn at random, or the last ones if others resemble these less."""

    def __init__(
        self,
        network: Callable[[Recipe], nn.Module],
        *,
        weights: Path,
        seed: int,
        augment: Callable[[Any, Recipe], Any] | None = None,
        plan: Callable[[Recipe, int], Plan] | None = None,
    ) -> None:
        self.network, self.augment, self.weights, self.seed = network, augment, weights, seed
        self.plan = plan or (lambda recipe, epochs: Plan(epochs, 0.001))
        self.tried: list[Candidate] = []
        self.modules: dict[str, nn.Module] = {}
        """The networks by the names with which they were trained."""
        self._recipes: Mapping[str, Recipe] = {}
        self._epochs = 0
        self._progress: Progress | None = None

    @abstractmethod
    def arrays(self, records: list[Any]) -> Arrays:
        """Return the input arrays of `records` by name, as compact as they can be kept."""

    @abstractmethod
    def targets(self, rows: LabelledRows[Any, Any]) -> Tensors:
        """Return the tensors that the loss compares the network's outputs with."""

    @abstractmethod
    def loss(self, outputs: Any, targets: Tensors) -> torch.Tensor:
        """Return the mean loss of a batch."""

    @abstractmethod
    def metrics(self, outputs: Arrays, rows: TensorRows) -> dict[str, float]:
        """Return the metrics of the exported graph's outputs on rows held out."""

    def curve(self, outputs: Arrays, rows: TensorRows) -> float:
        """Return the primary metric alone, after each epoch."""
        return self.metrics(outputs, rows)[self.primary]

    @abstractmethod
    def predictions(self, records: list[Any], outputs: Arrays) -> Sequence[Record]:
        """Return the predictions that the model makes of the exported graph's outputs."""

    def feed(self, inputs: Tensors) -> Tensors:
        """Return the network's inputs, given the compact tensors."""
        return inputs

    def exported(self, module: nn.Module) -> nn.Module:
        """Return the module that is exported: the network with its last activation."""
        return module

    def prepared(self, module: nn.Module) -> nn.Module:
        """Return an untrained network in the memory format that trains fastest."""
        return module

    def augmented(self, inputs: Tensors, targets: Tensors, recipe: Recipe) -> tuple[Any, Any]:
        """Return a batch for training, changed at random."""
        return self.augment((inputs, targets), recipe) if self.augment else (inputs, targets)

    def tensors(self, rows: LabelledRows[Any, Any]) -> TensorRows:
        """Return the rows with their tensors."""
        arrays = self.arrays(rows.records)
        inputs = {name: torch.from_numpy(each) for name, each in arrays.items()}
        return TensorRows(rows, inputs, self.targets(rows))

    def split(
        self, rows: TensorRows, held_out: int, subset: int | None = None
    ) -> tuple[TensorRows, TensorRows]:
        """Return at most `subset` rows to train on, and `held_out` others to validate on."""
        if self.validates_on == "last":
            order = torch.arange(len(rows))
            return rows.take(order[:-held_out][:subset]), rows.take(order[-held_out:])
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(len(rows), generator=generator)
        end = None if subset is None else held_out + subset
        return rows.take(order[held_out:end]), rows.take(order[:held_out])

    def compare(
        self,
        train: LabelledRows[Any, Any],
        recipes: Mapping[str, Recipe],
        *,
        held_out: int,
        epochs: int,
        subset: int | None = None,
    ) -> list[Candidate]:
        """Train each recipe, from the simplest to the most complex, and validate it.

        One of them is called `baseline`. `held_out` rows validate, and at most `subset` others
        train.
        """
        self._recipes, self._epochs = recipes, epochs
        self._progress = Progress(epochs=epochs * len(recipes))
        parts = self.split(self.tensors(train), held_out, subset)
        for name, recipe in recipes.items():
            module, curves = self.train(recipe, parts[0], epochs, validation=parts[1], name=name)
            parameters = {"epochs": epochs, "rows": len(parts[0]), **described(recipe)}
            self.tried.append(Candidate(name, self.validate(module, parts[1]), parameters, curves))
        return self.tried

    def add_metrics(self, name: str, metrics: dict[str, float]) -> None:
        """Add the project's own metrics to those of the candidate `name`."""
        self.tried = [
            each.with_metrics(metrics) if each.name == name else each for each in self.tried
        ]

    def refit_best(
        self, train: LabelledRows[Any, Any], *, references: Sequence[Candidate] = ()
    ) -> Fitted:
        """Train the simplest recipe within one standard error of the best on all rows.

        Its network is written as `model.onnx` into the study's folder. `references` were measured
        on the same rows, but are not chosen, because they are no networks to export.

        Raises:
            ValueError: no candidate was compared.
        """
        chosen = simplest_within_error(self.tried, self.primary, best=self.best).name
        rows, self._progress = self.tensors(train), Progress()
        module, _ = self.train(self._recipes[chosen], rows, self._epochs, name=f"{chosen} on all")
        return self.export(chosen, module, rows, references=references)

    def export(
        self,
        chosen: str,
        module: nn.Module,
        rows: TensorRows,
        *,
        references: Sequence[Candidate] = (),
    ) -> Fitted:
        """Write the network of the candidate `chosen` as `model.onnx`, and end the study.

        The first of `rows` are the example by which the graph is traced.
        """
        exported = self.exported(module)
        example = self.feed({name: each[:2] for name, each in rows.inputs.items()})
        export_onnx(exported, example, self.outputs, self.weights)
        shutil.rmtree(self._checkpoints, ignore_errors=True)

        def framework_predict(records: list[Any]) -> Sequence[Record]:
            inputs = {name: torch.from_numpy(each) for name, each in self.arrays(records).items()}
            return self.predictions(records, self._run(exported, inputs))

        return Fitted([*references, *self.tried], chosen, framework_predict)

    def train(
        self,
        recipe: Recipe,
        rows: TensorRows,
        epochs: int,
        *,
        validation: TensorRows | None = None,
        name: str = "",
    ) -> tuple[nn.Module, dict[str, list[float]]]:
        """Train one network; return it and its learning curves.

        With `validation` the primary metric becomes a curve. With a `name` the training continues
        after a kill.
        """
        deterministic(self.seed)
        module = self.prepared(self.network(recipe))
        plan = self.plan(recipe, epochs)

        def loss(batch: torch.Tensor) -> torch.Tensor:
            device = next(module.parameters()).device
            inputs = self.feed({key: each[batch] for key, each in rows.inputs.items()})
            targets = {key: each[batch] for key, each in rows.targets.items()}
            inputs, targets = self.augmented(inputs, targets, recipe)
            placed = [self.placed(each.to(device)) for each in inputs.values()]
            outputs = module(*placed)
            return self.loss(outputs, {key: each.to(device) for key, each in targets.items()})

        checkpoint = self._checkpoint(name, recipe, plan, rows) if name else None
        if self._progress:
            self._progress.name = name
        curves = train(
            module,
            len(rows),
            loss,
            plan,
            seed=self.seed,
            measure=lambda: self.watch(module, rows, validation, checkpoint),
            cpu=False,
            checkpoint=checkpoint,
            progress=self._progress if name else None,
        )
        self.modules[name] = module
        return module, curves

    def watch(
        self,
        module: nn.Module,
        rows: TensorRows,
        validation: TensorRows | None,
        checkpoint: Checkpoint | None,
    ) -> dict[str, float]:
        """Return what becomes learning curves, after each epoch: the primary metric.

        `rows` are those that the network learns from; `checkpoint` is where the training goes on
        after a kill.
        """
        if validation is None:
            return {}
        outputs = self._run(self.watched(module), validation.inputs)
        return {self.primary: self.curve(outputs, validation)}

    def watched(self, module: nn.Module) -> nn.Module:
        """Return the module whose metric becomes the curve: the exported one, or a cheaper one."""
        return self.exported(module)

    def placed(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return a batch of inputs in the memory format of the network."""
        return inputs

    def validate(self, module: nn.Module, rows: TensorRows) -> dict[str, float]:
        """Return the metrics of a network on `rows`."""
        return self.metrics(self._run(self.exported(module), rows.inputs), rows)

    def _run(self, exported: nn.Module, inputs: Tensors, chunk: int = 1000) -> Arrays:
        """Return the outputs of the module for compact inputs, `chunk` rows at a time."""
        count = len(next(iter(inputs.values())))
        found = []
        for start in range(0, count, chunk):
            part = {name: each[start : start + chunk] for name, each in inputs.items()}
            outputs = predict_tensors(exported, *self.feed(part).values(), batch=chunk)
            found.append(outputs if isinstance(outputs, tuple) else (outputs,))
        return {
            name: torch.cat(parts).numpy()
            for name, parts in zip(self.outputs, zip(*found, strict=True), strict=True)
        }

    @property
    def _checkpoints(self) -> Path:
        return self.weights.parent / "volatile" / "checkpoints"

    def _checkpoint(self, name: str, recipe: Recipe, plan: Plan, rows: TensorRows) -> Checkpoint:
        code = Path(str(sys.modules[self.network.__module__].__file__)).parent
        sources = [file.read_bytes() for file in sorted(code.glob("*.py"))]
        key = key_of(torch.__version__, recipe, plan, self.seed, rows.digest(), *sources)
        return Checkpoint(self._checkpoints / f"{name.replace(' ', '_')}-{key[:8]}", key)


def described(recipe: Any) -> dict[str, Any]:
    """Return a recipe as parameters of its candidate: the fields of a dataclass, or a mapping."""
    if is_dataclass(recipe) and not isinstance(recipe, type):
        return asdict(recipe)
    return dict(recipe) if isinstance(recipe, Mapping) else {"recipe": repr(recipe)}
