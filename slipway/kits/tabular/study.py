"""Compare scikit-learn pipelines by cross-validation, then fit the chosen one on all rows."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from sklearn.base import clone
from sklearn.model_selection import cross_validate
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.contract import Record
from slipway.training import Candidate, Fitted
from slipway.training.selection import fold_error, simplest_within_error
from slipway.training.tabular import export_onnx


class PipelineStudy:
    """A study of pipelines by name, from the simplest to the most complex.

    `scores` are scikit-learn's names; the first one decides. One pipeline is called `baseline`.
    Computation has one thread, since sums of floats depend on how threads divide them.
    """

    def __init__(
        self,
        pipelines: Mapping[str, Any],
        scores: Sequence[str],
        *,
        best: Literal["highest", "lowest"] = "highest",
        parameters: Callable[[str, Any], dict[str, Any]] = lambda name, pipeline: {},
    ) -> None:
        self.pipelines, self.scores, self.best = pipelines, tuple(scores), best
        self.parameters = parameters
        self.tried: list[Candidate] = []
        self.chosen = ""

    @property
    def primary(self) -> str:
        """Return the metric that decides."""
        return self.scores[0]

    @threadpool_limits.wrap(limits=1)
    def compare(self, columns: Any, labels: Any, splits: Any, *, folds: int) -> list[Candidate]:
        """Cross-validate each pipeline with scikit-learn's `splits`.

        `folds` is the number of folds of one repeat, on which the standard error rests. A score
        that scikit-learn negates, such as `neg_brier_score`, keeps its sign.
        """
        for name, pipeline in self.pipelines.items():
            scores = cross_validate(
                clone(pipeline), columns, labels, cv=splits, scoring=self.scores
            )
            metrics = {each: float(scores[f"test_{each}"].mean()) for each in self.scores}
            primary = scores[f"test_{self.primary}"]
            metrics[f"{self.primary}_std"] = float(primary.std())
            metrics[f"{self.primary}_se"] = fold_error(primary, folds)
            self.tried.append(Candidate(name, metrics, self.parameters(name, pipeline)))
        return self.tried

    @threadpool_limits.wrap(limits=1)
    def fit_best(self, columns: Any, labels: Any) -> Any:
        """Return the simplest pipeline within one standard error of the best, fitted on all rows.

        Raises:
            ValueError: nothing was compared.
        """
        self.chosen = simplest_within_error(self.tried, self.primary, best=self.best).name
        return self.pipelines[self.chosen].fit(columns, labels)

    def export(
        self,
        pipeline: Any,
        inputs: Mapping[str, int],
        weights: Path,
        framework_predict: Callable[[list[Any]], Sequence[Record]],
    ) -> Fitted:
        """Write the fitted pipeline as `model.onnx`; `inputs` are its blocks' widths by name."""
        export_onnx(pipeline, inputs, weights)
        return Fitted(self.tried, self.chosen, framework_predict)
