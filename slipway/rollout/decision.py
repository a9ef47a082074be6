"""The rule: what has been seen of a version, held against its plan. Nothing here has an effect.

A version is sent back when an interval that holds at every look (`slipway.statistics.
always_valid`) lies wholly on the wrong side, so that looking often makes no false alarms: each
rule in each stage has coverage 1 - alpha / rules, and by the union bound a version that is as
good as the champion is sent back by any of them with probability below alpha.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from slipway.rollout.arms import Arm
from slipway.rollout.plan import Plan
from slipway.statistics import always_valid
from slipway.statistics.ab import Sample, compare


class Stage(StrEnum):
    CHECKS = "checks"
    SHADOW = "shadow"
    CANARY = "canary"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"
    REFUSED = "refused"

    @property
    def over(self) -> bool:
        return self in (Stage.PROMOTED, Stage.ROLLED_BACK, Stage.REFUSED)


@dataclass(frozen=True)
class Agreement:
    """The shadow's answers beside the champion's to the same requests."""

    pairs: int = 0
    different: int = 0


@dataclass(frozen=True)
class Observed:
    """All that a decision rests on."""

    stage: Stage
    seconds: float
    """Since the servers answer with the version in this stage."""
    waited: float
    """Since the stage began."""
    serving: bool
    """Every server answers with it."""
    champion: Arm = field(default_factory=Arm)
    candidate: Arm = field(default_factory=Arm)
    slow_bound: float | None = None
    """Seconds."""
    truths: tuple[tuple[Sample, Sample], ...] = ()
    """Scores of champion and version by step, the current one last."""
    agreement: Agreement = Agreement()
    isolated: bool = False
    """It misbehaved so that a server moved it to a process of its own."""
    blind: float = 0
    """Seconds since a server last gave its figures."""
    unseen: str = ""
    """What could not be had now, and why; nobody goes on while something is missing."""


@dataclass(frozen=True)
class Finding:
    """One rule, asked once."""

    rule: str
    against: bool
    told: str


@dataclass(frozen=True)
class Hold:
    reason: str


@dataclass(frozen=True)
class Advance:
    reason: str
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class RollBack:
    rule: str
    reason: str
    findings: tuple[Finding, ...] = ()


Verdict = Hold | Advance | RollBack


def decide(plan: Plan, seen: Observed) -> Verdict:
    """Hold, go on to the next stage, or send the version back."""
    findings = tuple(find(plan, seen))
    for finding in findings:
        if finding.against:
            return RollBack(finding.rule, finding.told, findings)
    if seen.blind > plan.blind_seconds:
        told = f"no figures for {seen.blind:.0f} s, at most {plan.blind_seconds:g}: {seen.unseen}"
        return RollBack("blind", told, findings)
    if not seen.serving and seen.waited > plan.serve_seconds:
        told = f"not served by every server {seen.waited:.0f} s after it should: {seen.unseen}"
        return RollBack("serving", told, findings)
    missing = _missing(plan, seen)
    if not missing:
        return Advance(_passed(seen, findings), findings)
    if seen.waited > plan.patience_seconds:
        told = f"not proven in {seen.waited:.0f} s: {'; '.join(missing)}"
        return RollBack("patience", told, findings)
    return Hold("; ".join(missing))


def find(plan: Plan, seen: Observed) -> list[Finding]:
    """Each rule that applies in this stage."""
    found = [_errors(plan, seen)]
    if seen.stage == Stage.SHADOW and plan.disagreement is not None:
        found.append(_disagreement(plan, plan.disagreement, seen.agreement))
    if seen.stage == Stage.CANARY:
        told = "moved to a process of its own" if seen.isolated else "behaves in the server"
        found += [
            _latency(plan, seen),
            _quality(plan, seen),
            Finding("isolation", seen.isolated, told),
        ]
    return found


def _errors(plan: Plan, seen: Observed) -> Finding:
    a, b = seen.champion, seen.candidate
    low, high = always_valid.of_rates(
        (a.failed, b.failed),
        (a.requests - a.failed, b.requests - b.failed),
        coverage=plan.coverage,
    )
    told = (
        f"failed {b.failed:g} of {b.requests:g} requests, the champion {a.failed:g} of "
        f"{a.requests:g}: {_percent(low, high)} more, at most {100 * plan.error_margin:g} %"
    )
    return Finding("errors", low > plan.error_margin, told)


def _latency(plan: Plan, seen: Observed) -> Finding:
    a, b, bound = seen.champion, seen.candidate, seen.slow_bound
    if bound is None:
        return Finding("latency", False, "the champion has answered too little to compare with")
    low, high = always_valid.of_rates(
        (a.slow, b.slow), (a.timed - a.slow, b.timed - b.slow), coverage=plan.coverage
    )
    most = 1 - plan.slow_quantile
    told = (
        f"over {bound:g} s in {b.slow:g} of {b.timed:g} requests, the champion in {a.slow:g} of "
        f"{a.timed:g}: {_percent(low, high)} more, at most {100 * most:g} %"
    )
    return Finding("latency", low > most, told)


def _quality(plan: Plan, seen: Observed) -> Finding:
    """Step by step: each divides the traffic otherwise, and what is asked changes with time."""
    told = "no truths came back"
    for number, (a, b) in enumerate(seen.truths, start=1):
        if not a.n or not b.n:
            continue
        interval = compare(a, b, credible=plan.coverage).always_valid_interval
        span = "too few to tell"
        if interval is not None:
            span = f"{interval[0]:.4g} to {interval[1]:.4g} better"
        told = (
            f"mean score {b.mean:.4g} of {b.n}, the champion {a.mean:.4g} of {a.n} in step "
            f"{number}: {span}, at least {-plan.quality_margin:g}"
        )
        if interval is not None and interval[1] < -plan.quality_margin:
            return Finding("quality", True, told)
    return Finding("quality", False, told)


def _disagreement(plan: Plan, most: float, agreement: Agreement) -> Finding:
    different, same = agreement.different, agreement.pairs - agreement.different
    # With nothing seen of the first arm the difference is the second's rate less 1.
    low, high = always_valid.of_rates((0, different), (0, same), coverage=plan.coverage)
    low, high = low + 1, min(1.0, high)
    told = (
        f"answers otherwise than the champion in {different} of {agreement.pairs} requests: "
        f"{_percent(low, high)}, at most {100 * most:g} %"
    )
    return Finding("disagreement", low > most, told)


def _missing(plan: Plan, seen: Observed) -> list[str]:
    """What must still be seen before it may go on."""
    if seen.unseen:
        return [seen.unseen]
    if not seen.serving:
        return ["not every server answers with it yet"]
    shadow = seen.stage == Stage.SHADOW
    requests = plan.shadow_requests if shadow else plan.requests
    seconds = plan.shadow_seconds if shadow else plan.seconds
    missing = []
    if seen.candidate.requests < requests:
        missing.append(f"{seen.candidate.requests:g} of {requests} requests")
    if seen.seconds < seconds:
        missing.append(f"{seen.seconds:.0f} of {seconds:g} s")
    if shadow:
        if plan.disagreement is not None and seen.agreement.pairs < requests:
            missing.append(f"{seen.agreement.pairs} of {requests} answers compared")
        return missing
    if min(seen.champion.timed, seen.candidate.timed) < 1:
        missing.append("no request of both timed against the champion's usual")
    if plan.truths:
        scores = seen.truths[-1] if seen.truths else (Sample(0), Sample(0))
        fewest = min(each.n for each in scores)
        if fewest < plan.truths:
            missing.append(f"{fewest} of {plan.truths} truths")
    return missing


def _passed(seen: Observed, findings: tuple[Finding, ...]) -> str:
    told = "; ".join(f"{each.rule}: {each.told}" for each in findings)
    return f"{seen.seconds:.0f} s without a rule against it: {told}"


def _percent(low: float, high: float) -> str:
    return f"{100 * low:.3g} to {100 * high:.3g} %"


def evidence(seen: Observed, findings: tuple[Finding, ...]) -> dict[str, Any]:
    """For the promotion log."""
    return {
        "seconds": round(seen.seconds, 1),
        "champion": seen.champion.model_dump(),
        "candidate": seen.candidate.model_dump(),
        "slow_bound": None if seen.slow_bound == float("inf") else seen.slow_bound,
        "truths": [
            {"champion": _score(a), "candidate": _score(b)} for a, b in seen.truths if a.n or b.n
        ],
        "agreement": {"pairs": seen.agreement.pairs, "different": seen.agreement.different},
        "rules": {each.rule: each.told for each in findings},
    }


def _score(sample: Sample) -> dict[str, float]:
    return {"n": sample.n, "mean": sample.mean, "variance": sample.variance}
