"""The promotion rule: a candidate becomes champion if it is not worse on the same test rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slipway.contract import Model
from slipway.registry.gate import Condition
from slipway.training.batches import predict_all
from slipway.training.examples import Examples
from slipway.training.workspace import rounded


@dataclass(frozen=True)
class Verdict:
    promote: bool
    reason: str
    champion_score: float | None = None


def judge(
    *,
    primary: Condition,
    candidate_score: float,
    champion: Model | None,
    champion_version: str | None,
    test: Examples[Any, Any],
    score: Callable[..., dict[str, float]],
) -> Verdict:
    """Compare by `primary`. A champion that cannot answer these rows any more gives way."""
    if champion is None:
        return Verdict(True, "first champion")
    try:
        sent = champion.input_type()
        records = [sent.model_validate(record.model_dump()) for record in test.records]
        scores = score(answers=predict_all(champion, records), truths=test.truths)
        # The candidate's score was read from a file, where its last digits are rounded off.
        standing = rounded(scores[primary.metric])
    except Exception as error:
        kind = type(error).__name__
        return Verdict(True, f"champion v{champion_version} cannot answer the test rows ({kind})")
    told = (
        f"{primary.metric} {candidate_score:.4g} against {standing:.4g} of champion "
        f"v{champion_version} on the same {len(test)} rows"
    )
    if primary.better(standing, candidate_score):
        return Verdict(False, f"worse: {told}", standing)
    return Verdict(True, f"not worse: {told}", standing)
