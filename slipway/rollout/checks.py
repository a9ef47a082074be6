"""What a version must show before it sees a request: gate, parity, comparison with the champion."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from slipway import home
from slipway.rollout import traffic
from slipway.rollout.plan import Check, Plan

Evidence = dict[str, Any]


class NotMet(Exception):
    """What fell short, by how much."""


def check(project: str, version: str, champion: str | None, plan: Plan) -> Evidence:
    """Every check of the plan, in order; what each was met with.

    Raises:
        NotMet: one is not met.
        traffic.NoVersion: there is no such version.
        Exception: the registry cannot be reached.
    """
    registered = traffic.version(project, version)
    evidence: Evidence = {}
    checks: dict[Check, Callable[[], Evidence]] = {
        "gate": lambda: _gate(registered),
        "parity": lambda: _parity(registered, plan),
        "comparison": lambda: _comparison(project, version, champion, plan),
    }
    for name, run in checks.items():
        evidence[name] = run() if name in plan.checks else "left out by the plan"
    return evidence


def _run(registered: Any) -> Any:
    """The version's run in MLflow."""
    if not registered.run_id:
        raise NotMet(
            f"gate not met: {registered.name} v{registered.version} has no run that tells its "
            "metrics; register it with `slipway register`, or leave the checks out of the plan"
        )
    return traffic.registry().get_run(registered.run_id).data


def _gate(registered: Any) -> Evidence:
    data = _run(registered)
    state = data.tags.get("gate", "never held against its run")
    if state != "met":
        raise NotMet(f"gate not met: must be met, got {state!r}")
    return {"metrics": dict(sorted(data.metrics.items()))}


def _parity(registered: Any, plan: Plan) -> Evidence:
    metrics = _run(registered).metrics
    found = {name: metrics.get(name) for name in ("parity_error", "parity_agreement")}
    error, agreement = found["parity_error"], found["parity_agreement"]
    if error is None or not error <= plan.parity_error:
        raise NotMet(f"parity not met: parity_error <= {plan.parity_error:g}, got {_told(error)}")
    if agreement is None or not agreement >= plan.parity_agreement:
        raise NotMet(
            f"parity not met: parity_agreement >= {plan.parity_agreement:g}, got {_told(agreement)}"
        )
    return found


def _told(value: float | None) -> str:
    return "no such metric" if value is None else f"{value:.4g}"


def _comparison(project: str, version: str, champion: str | None, plan: Plan) -> Evidence:
    """In a process of its own: both versions' code runs there, which may hang or crash."""
    if champion is None:
        return {"reason": "first champion"}
    command = [sys.executable, "-m", "slipway.rollout.comparison", project, version, champion]
    try:
        done = subprocess.run(
            command,
            cwd=home.root(),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=plan.comparison_seconds,
        )
    except subprocess.TimeoutExpired:
        raise NotMet(f"comparison not met: no answer in {plan.comparison_seconds:g} s") from None
    if done.returncode < 0:
        # Ended from outside, as `make down` does with whatever it finds: that is no verdict.
        raise RuntimeError(f"the comparison was ended by signal {-done.returncode}; done again")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        raise NotMet(f"comparison not met: {last}")
    told: Evidence = json.loads(done.stdout.splitlines()[-1])
    if not told["not_worse"]:
        raise NotMet(f"comparison not met: {told['reason']}")
    return told
