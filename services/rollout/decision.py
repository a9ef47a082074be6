"""Decide from the observations of a version and its plan. Nothing here has a side effect.

A version is rolled back when a confidence sequence (`slipway.statistics.always_valid`), which is
valid at all looks together, lies wholly on the wrong side. Frequent looks therefore cause no false
alarms. Each rule in each stage has coverage 1 - alpha / rules. By the union bound, the rules roll
back a version that is as good as the champion with a probability below alpha.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from services.rollout.arms import Arm
from services.rollout.plan import RolloutPlan
from slipway.statistics import always_valid
from slipway.statistics.ab import Sample, compare


class Stage(StrEnum):
    """The stage of a rollout."""

    CHECKS = "checks"
    SHADOW = "shadow"
    CANARY = "canary"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"
    REFUSED = "refused"

    @property
    def over(self) -> bool:
        """True if the rollout ends with this stage."""
        return self in (Stage.PROMOTED, Stage.ROLLED_BACK, Stage.REFUSED)


@dataclass(frozen=True)
class Agreement:
    """Predictions of the shadow compared with the champion's for the same requests."""

    pairs: int = 0
    different: int = 0


@dataclass(frozen=True)
class Observation:
    """All that a decision depends on."""

    stage: Stage
    seconds: float
    """Time since all servers serve the version in this stage; 0 before."""
    waited: float
    """Seconds since the stage began."""
    serving: bool
    """True if every server has served it in this stage."""
    champion: Arm = field(default_factory=Arm)
    candidate: Arm = field(default_factory=Arm)
    slow_bound: float | None = None
    """Seconds above which a request is slow; None while unknown."""
    scores: tuple[tuple[Sample, Sample], ...] = ()
    """Scores of champion and version by canary step, the current step last."""
    agreement: Agreement = Agreement()
    isolated: bool = False
    """True if a server moved the version to a process of its own because it misbehaved."""
    blind: float = 0
    """The longest time for which a server has given no metrics, in seconds."""
    unavailable: str = ""
    """The source that is unavailable now, and why; the rollout does not advance meanwhile."""


@dataclass(frozen=True)
class RuleResult:
    """The result of one rule."""

    rule: str
    violated: bool
    message: str


@dataclass(frozen=True)
class Hold:
    """Stay in the stage."""

    reason: str


@dataclass(frozen=True)
class Advance:
    """Go on to the next stage."""

    reason: str
    findings: tuple[RuleResult, ...] = ()


@dataclass(frozen=True)
class RollBack:
    """Send all traffic back to the champion."""

    rule: str
    reason: str
    findings: tuple[RuleResult, ...] = ()


Verdict = Hold | Advance | RollBack


def decide(plan: RolloutPlan, observed: Observation) -> Verdict:
    """Decide whether to stay in the stage, to go on to the next one, or to roll back."""
    findings = tuple(evaluate_rules(plan, observed))
    for finding in findings:
        if finding.violated:
            return RollBack(finding.rule, finding.message, findings)
    if observed.blind > plan.blind_seconds:
        reason = (
            f"no metrics for {observed.blind:.0f} s, at most {plan.blind_seconds:g}: "
            f"{observed.unavailable}"
        )
        return RollBack("blind", reason, findings)
    if not observed.serving and observed.waited > plan.serve_seconds:
        reason = (
            f"not served by every server {observed.waited:.0f} s after the stage began: "
            f"{observed.unavailable}"
        )
        return RollBack("serving", reason, findings)
    missing = _missing(plan, observed)
    if not missing:
        return Advance(_passed(observed, findings), findings)
    if observed.waited > plan.patience_seconds:
        reason = f"not proven in {observed.waited:.0f} s: {'; '.join(missing)}"
        return RollBack("patience", reason, findings)
    return Hold("; ".join(missing))


def evaluate_rules(plan: RolloutPlan, observed: Observation) -> list[RuleResult]:
    """Evaluate each rule that applies in this stage."""
    findings = [_errors(plan, observed)]
    if observed.stage == Stage.SHADOW and plan.disagreement is not None:
        findings.append(_disagreement(plan, plan.disagreement, observed.agreement))
    if observed.stage == Stage.CANARY:
        place = "moved to a process of its own" if observed.isolated else "runs within the server"
        findings += [
            _latency(plan, observed),
            _quality(plan, observed),
            RuleResult("isolation", observed.isolated, place),
        ]
    return findings


def _errors(plan: RolloutPlan, observed: Observation) -> RuleResult:
    a, b = observed.champion, observed.candidate
    low, high = always_valid.rate_interval(
        (a.failed, b.failed),
        (a.requests - a.failed, b.requests - b.failed),
        coverage=plan.coverage,
    )
    message = (
        f"failed {b.failed:g} of {b.requests:g} requests, the champion {a.failed:g} of "
        f"{a.requests:g}: {_percent(low, high)} more, at most {100 * plan.error_margin:g} %"
    )
    return RuleResult("errors", low > plan.error_margin, message)


def _latency(plan: RolloutPlan, observed: Observation) -> RuleResult:
    a, b, bound = observed.champion, observed.candidate, observed.slow_bound
    if bound is None:
        return RuleResult("latency", False, "the champion has too few requests to compare with")
    low, high = always_valid.rate_interval(
        (a.slow, b.slow), (a.timed - a.slow, b.timed - b.slow), coverage=plan.coverage
    )
    allowed = 1 - plan.slow_quantile
    message = (
        f"over {bound:g} s in {b.slow:g} of {b.timed:g} requests, the champion in {a.slow:g} of "
        f"{a.timed:g}: {_percent(low, high)} more, at most {100 * allowed:g} %"
    )
    return RuleResult("latency", low > allowed, message)


def _quality(plan: RolloutPlan, observed: Observation) -> RuleResult:
    """Compare each step on its own: steps split the traffic differently, and requests change."""
    message = "no labels arrived"
    for number, (a, b) in enumerate(observed.scores, start=1):
        if not a.n or not b.n:
            continue
        interval = compare(a, b, credible=plan.coverage).always_valid_interval
        span = "too few to compare"
        if interval is not None:
            span = f"{interval[0]:.4g} to {interval[1]:.4g} better"
        message = (
            f"mean score {b.mean:.4g} of {b.n}, the champion {a.mean:.4g} of {a.n} in step "
            f"{number}: {span}, at least {-plan.quality_margin:g}"
        )
        if interval is not None and interval[1] < -plan.quality_margin:
            return RuleResult("quality", True, message)
    return RuleResult("quality", False, message)


def _disagreement(plan: RolloutPlan, allowed: float, agreement: Agreement) -> RuleResult:
    different, same = agreement.different, agreement.pairs - agreement.different
    # Without observations of the first arm the difference is the second's rate less 1.
    low, high = always_valid.rate_interval((0, different), (0, same), coverage=plan.coverage)
    low, high = low + 1, min(1.0, high)
    message = (
        f"differs from the champion in {different} of {agreement.pairs} requests: "
        f"{_percent(low, high)}, at most {100 * allowed:g} %"
    )
    return RuleResult("disagreement", low > allowed, message)


def _missing(plan: RolloutPlan, observed: Observation) -> list[str]:
    """Return what is still needed before the rollout may advance."""
    if observed.unavailable:
        return [observed.unavailable]
    if not observed.serving:
        return ["not every server serves it yet"]
    shadow = observed.stage == Stage.SHADOW
    requests = plan.shadow_requests if shadow else plan.requests
    seconds = plan.shadow_seconds if shadow else plan.seconds
    missing = []
    if observed.candidate.requests < requests:
        missing.append(f"{observed.candidate.requests:g} of {requests} requests")
    if observed.seconds < seconds:
        missing.append(f"{observed.seconds:.0f} of {seconds:g} s")
    if shadow:
        if plan.disagreement is not None and observed.agreement.pairs < requests:
            missing.append(f"{observed.agreement.pairs} of {requests} predictions compared")
        return missing
    if min(observed.champion.timed, observed.candidate.timed) < 1:
        missing.append("no request of both versions timed yet")
    if plan.labels:
        scores = observed.scores[-1] if observed.scores else (Sample(0), Sample(0))
        fewest = min(each.n for each in scores)
        if fewest < plan.labels:
            missing.append(f"{fewest} of {plan.labels} labels")
    return missing


def _passed(observed: Observation, findings: tuple[RuleResult, ...]) -> str:
    results = "; ".join(f"{each.rule}: {each.message}" for each in findings)
    return f"{observed.seconds:.0f} s without a violated rule: {results}"


def _percent(low: float, high: float) -> str:
    return f"{100 * low:.3g} to {100 * high:.3g} %"


def evidence(observed: Observation, findings: tuple[RuleResult, ...]) -> dict[str, Any]:
    """Return the observation and the rules' results for the promotion log."""
    return {
        "seconds": round(observed.seconds, 1),
        "champion": observed.champion.model_dump(),
        "candidate": observed.candidate.model_dump(),
        "slow_bound": None if observed.slow_bound == float("inf") else observed.slow_bound,
        "labels": [
            {"champion": _score(a), "candidate": _score(b)}
            for a, b in observed.scores
            if a.n or b.n
        ],
        "agreement": {"pairs": observed.agreement.pairs, "different": observed.agreement.different},
        "rules": {each.rule: each.message for each in findings},
    }


def _score(sample: Sample) -> dict[str, float]:
    return {"n": sample.n, "mean": sample.mean, "variance": sample.variance}
