"""The promotion rule: a candidate becomes champion if it is not worse on the same test rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slipway.contract import Model
from slipway.contract.gate import Condition
from slipway.training.batches import predict_all
from slipway.training.labelled_rows import LabelledRows
from slipway.training.workspace import rounded


@dataclass(frozen=True)
class Verdict:
    """The decision whether a candidate becomes champion, and its reason."""

    promote: bool
    reason: str
    champion_score: float | None = None


def judge(
    *,
    primary: Condition,
    candidate_score: float,
    champion: Model | None,
    champion_version: str | None,
    test: LabelledRows[Any, Any],
    score: Callable[..., dict[str, float]],
    batch: int = 1000,
) -> Verdict:
    """Compare candidate and champion by `primary` on the same test rows, `batch` rows a call.

    A champion that can no longer predict these rows is replaced.
    """
    if champion is None:
        return Verdict(True, "first champion")
    try:
        record_type = champion.input_type()
        records = [record_type.model_validate(record.model_dump()) for record in test.records]
        scores = score(predictions=predict_all(champion, records, batch), labels=test.labels)
        # Rounded like the candidate's score, which was read from a file.
        champion_score = rounded(scores[primary.metric])
    except Exception as error:
        kind = type(error).__name__
        return Verdict(True, f"champion v{champion_version} cannot answer the test rows ({kind})")
    comparison = (
        f"{primary.metric} {candidate_score:.4g} against {champion_score:.4g} of champion "
        f"v{champion_version} on the same {len(test)} rows"
    )
    if primary.better(champion_score, candidate_score):
        return Verdict(False, f"worse: {comparison}", champion_score)
    return Verdict(True, f"not worse: {comparison}", champion_score)
